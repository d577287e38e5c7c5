//! What Compute relies on of any Networking. The same tests for the component of the same process and for one elsewhere.
#![allow(unreachable_pub, reason = "included where it is run")]

pub mod allocate;
pub mod devices;
pub mod elsewhere;
pub mod questions;
pub mod world;

/// Every behaviour, for a macro that makes a test of each.
#[macro_export]
macro_rules! for_each_behaviour {
    ($make:ident) => {
        $make! {
            allocate: a_server_gets_ports_in_the_order_asked_for_bound_to_its_host_and_active,
            allocate: asked_again_the_same_ports_are_used_and_bound_to_the_new_host,
            allocate: asked_again_each_address_that_is_named_is_found_whatever_the_order,
            allocate: what_an_earlier_try_has_made_in_part_is_completed,
            allocate: sixty_four_servers_at_once_get_an_address_each_and_the_others_none,
            allocate: who_is_dropped_in_the_midst_loses_no_address,
            allocate: a_refused_port_leaves_nothing_of_the_others_behind,
            allocate: an_address_that_is_named_is_no_other_ports_by_chance,
            allocate: who_names_an_address_has_those_that_follow_from_the_mac_too,
            allocate: a_refused_server_takes_nothing_from_those_that_ask_with_it,
            allocate: refusals_are_neutrons,
            allocate: a_quota_is_kept_by_many_at_once,
            allocate: a_port_that_was_brought_is_taken_and_given_back_as_it_was,
            allocate: a_port_of_another_server_is_refused,
            devices: one_port_more_leaves_the_others_as_they_are,
            devices: a_port_is_given_back_alone_and_only_by_the_server_that_has_it,
            devices: many_servers_give_their_ports_back_at_once,
            devices: a_move_adds_a_binding_activates_it_and_removes_the_other,
            devices: a_move_that_fails_leaves_the_ports_where_they_were,
            devices: what_servers_have_is_described_with_names_and_floating_ips,
            devices: a_port_of_another_project_is_no_servers_whatever_its_owner_says,
            devices: security_groups_of_all_ports_of_a_server_change,
            questions: a_project_sees_its_networks_and_those_shared_with_it,
            questions: ports_are_found_by_id_by_server_and_by_a_part_of_an_address,
            questions: a_project_has_its_default_security_group_from_the_first_question_on,
            questions: the_quota_says_how_many_ports_are_left,
            questions: a_topology_is_made_when_it_can_be,
        }
    };
}
