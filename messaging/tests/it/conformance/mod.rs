//! One suite of behaviours, shown on both buses; and what only a real broker can do to its clients.

mod brokers;
mod calls;
mod casts;
mod contracts;
mod deliveries;
mod faults;
mod layers;
mod limits;
mod many_servers;
mod notifications;
mod outages;
mod peer;
mod poison;
mod processes;
mod support;
mod tls;
mod users;
mod waiting;

/// The behaviours as tests on one bus.
macro_rules! suite {
    ($bus:ty) => {
        suite! { $bus, calls:
            a_call_returns_the_managers_answer
            many_calls_at_once_each_get_their_own_answer
            a_typed_error_reaches_the_caller_as_its_own_type
            an_error_of_another_kind_says_what_it_was
            an_unknown_method_is_its_own_error
            an_unsupported_version_is_its_own_error
            a_capped_client_sends_nothing_newer
            a_namespace_is_a_place_of_its_own
            a_wrong_argument_is_an_error_that_names_it
            unknown_arguments_and_missing_optional_ones_are_tolerated
            a_handler_that_panics_fails_its_call_and_the_server_lives
            a_call_times_out_with_a_clear_error
            a_late_answer_disturbs_nobody
            a_long_call_outlives_the_usual_timeout_while_its_server_lives
            a_call_to_a_topic_nobody_ever_listened_on_is_unroutable_at_once
            a_closed_transport_says_so
            a_closed_transport_ends_its_servers_and_listeners
            a_call_on_everybody_is_refused
            a_call_may_wait_for_ever
        }
        suite! { $bus, casts:
            a_cast_is_processed_once_by_one_of_the_servers_sharing_a_topic
            a_cast_to_one_server_reaches_that_server
            a_fanout_reaches_every_server
            a_server_known_by_name_only_hears_what_is_for_it_and_nothing_that_is_for_any_or_for_all
            a_fanout_to_nobody_is_no_error
            a_cast_to_a_stopped_service_is_delivered_when_it_starts
            a_message_to_a_topic_nobody_ever_listened_on_is_unroutable_at_once
            only_the_unroutable_among_many_casts_fail
            casts_from_one_sender_keep_concurrency_bounded_by_prefetch
            a_server_stops_gracefully_and_finishes_what_runs
            what_a_stopping_server_does_not_finish_in_time_is_delivered_to_another
            a_killed_servers_message_is_redelivered
            a_message_that_kills_every_server_is_set_aside
            a_handler_that_fails_is_set_aside_after_max_deliveries_and_the_server_lives
            a_cast_whose_needs_are_away_is_tried_until_they_are_there_and_nothing_is_counted
            a_failed_cast_that_waits_for_its_next_attempt_holds_up_nobody
            a_dead_letter_can_be_sent_again_or_deleted
            a_dead_letter_whose_queue_is_gone_holds_up_no_other
        }
        suite! { $bus, waiting:
            long_work_holds_back_no_short_work
            what_only_waited_for_its_turn_is_not_counted_as_failed
            what_only_waited_at_a_server_that_died_is_not_counted_as_tried
            a_call_that_waits_for_its_turn_hears_that_its_server_lives
        }
        suite! { $bus, contracts:
            two_versions_of_a_contract_are_served_at_once
            contracts_with_namespaces_stand_behind_one_server
            no_credential_travels
            a_contract_is_served_by_another_topic_and_exchange
            a_server_answers_pings_unless_told_not_to
        }
        suite! { $bus, layers:
            a_serializer_shapes_what_is_sent_and_read
            middleware_sees_requests_on_both_sides
            middleware_may_refuse
        }
        suite! { $bus, notifications:
            notifications_arrive_in_order_in_batches
            a_notification_carries_what_it_was_sent_with
            a_notification_waits_for_the_first_listener_ever
            each_pool_hears_everything_and_its_listeners_share
            an_unacked_batch_is_redelivered
            a_requeued_batch_comes_again_before_anything_newer
            a_standby_listener_takes_over_when_the_active_one_goes
        }
        suite! { $bus, limits:
            a_notification_that_kills_every_listener_is_set_aside
            a_notification_that_is_given_back_is_never_set_aside
        }
    };
    ($bus:ty, $module:ident: $($behaviour:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let bus = <$bus as crate::conformance::support::Bus>::create().await;
                crate::conformance::$module::$behaviour(&bus).await;
            }
        )*
    };
}

/// Behaviours that bring their own bus.
macro_rules! alone {
    ($module:ident: $($behaviour:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                crate::conformance::$module::$behaviour().await;
            }
        )*
    };
}

mod in_process {
    suite!(crate::conformance::support::InProcess);
    suite! { crate::conformance::support::InProcess, notifications: a_standby_listener_takes_over_also_if_the_notifier_came_first }
    suite! { crate::conformance::support::InProcess, limits: in_process_nobody_vouches }
}

/// The same on quorum queues, also for replies and fanouts.
mod quorum_queues {
    mod on_rabbitmq {
        suite!(crate::conformance::support::QuorumQueues);
    }
}

mod on_rabbitmq {
    suite!(novella_testing::Vhost);
    suite! { novella_testing::Vhost, notifications:
        a_standby_listener_takes_over_also_if_the_notifier_came_first
        after_a_cut_connection_a_listener_hears_in_order_again
    }
    suite! { novella_testing::Vhost, waiting:
        a_failed_call_leaves_no_sign_of_life_behind
        consumers_added_for_those_who_wait_go_when_nobody_waits
    }
    suite! { novella_testing::Vhost, poison:
        a_message_with_huge_values_is_set_aside_and_cuts_no_connection
        a_peers_credential_is_not_kept_with_a_dead_letter
        a_call_that_cannot_be_answered_is_done_once
    }
    suite! { novella_testing::Vhost, limits:
        messages_that_are_too_large_are_set_aside_unread_and_take_no_memory
        what_a_listener_had_in_hand_when_its_connection_was_cut_comes_again_in_batches
        a_flood_of_malformed_notifications_holds_up_nobody_for_long
        the_dead_letters_queue_of_an_earlier_version_is_used_as_it_is
        a_message_that_is_too_large_is_not_sent
        who_has_sent_a_message_is_known_by_the_brokers_word
    }

    suite! { novella_testing::Vhost, faults:
        a_cut_connection_is_survived
        a_question_whose_connection_is_cut_is_asked_again
        a_request_is_kept_over_the_brokers_restart_unless_its_client_says_otherwise
        what_is_not_there_can_be_asked_for_any_number_of_times
        nothing_accepted_is_lost_and_nothing_is_done_twice_while_connections_are_cut
        a_call_in_flight_survives_a_cut_connection
        the_topics_queues_deleted_under_a_server_are_declared_again
        the_reply_queue_deleted_under_a_client_heals
        exchanges_deleted_under_everybody_heal
        the_notifications_queue_deleted_under_a_notifier_is_declared_again
        one_bad_publish_closes_nothing_for_others
        a_malformed_message_is_set_aside_and_blocks_nobody
        a_refused_connection_fails_at_once_and_says_why
        a_queue_declared_otherwise_by_a_peer_is_an_error_that_names_it
        a_server_that_cannot_get_its_queue_back_is_not_healthy
        a_stopped_server_leaves_only_what_is_to_last
        a_closed_transport_leaves_no_reply_queue
        a_call_to_a_server_that_is_down_does_not_outlive_its_caller
        a_connection_that_hangs_silently_is_noticed_and_replaced
        a_broker_that_is_down_is_waited_for
    }
    suite! { novella_testing::Vhost, brokers:
        the_next_node_of_a_cluster_is_used_when_one_is_lost
        that_no_node_of_a_cluster_answers_is_an_error_that_names_each
        one_listener_hears_several_topics_and_exchanges_and_one_notifier_sends_to_several
        nothing_is_asked_for_that_rabbitmq_4_3_denies
    }
    suite! { novella_testing::Vhost, many_servers:
        hundreds_of_servers_come_up_on_as_many_connections_as_their_channels_need
        each_of_many_connections_recovers_with_its_servers
    }
    suite! { novella_testing::Vhost, deliveries:
        a_message_that_comes_twice_is_done_once
        a_reset_connection_loses_nothing_and_repeats_nothing
        a_long_queue_is_taken_in_small_parts
    }

    suite! { novella_testing::Vhost, processes:
        what_a_killed_process_was_doing_is_done_by_another
        a_message_that_kills_each_process_is_set_aside_with_the_reason
        what_a_process_only_held_is_no_dead_letter_however_often_it_is_killed
    }

    /// What would disturb others is done to a broker of the test's own.
    mod of_its_own {
        alone! { outages:
            a_broker_that_is_stopped_and_started_loses_nothing
            a_broker_that_is_killed_and_started_loses_nothing
            a_broker_without_memory_is_an_error_that_says_so_and_health_says_so_too
            an_answer_that_the_broker_takes_late_is_sent_and_its_work_not_done_twice
            a_channel_closed_over_a_slow_method_is_made_again_and_the_method_runs_on
        }
        alone! { many_servers:
            a_broker_that_permits_fewer_channels_than_before_is_given_more_connections
        }
        alone! { users:
            who_may_not_declare_waits_for_those_who_may_and_then_does_all_its_work
            a_caller_of_oslo_messaging_is_answered_by_those_only_who_may_reach_every_queue
        }
        alone! { tls:
            a_broker_is_reached_by_tls_and_one_with_a_wrong_certificate_is_not
            a_broker_that_asks_for_a_certificate_is_reached_with_one_and_not_without
        }
    }
}

/// Not a test: the process that those in [`processes`] start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it runs until it is killed"]
async fn worker_process() {
    processes::work_until_killed().await;
}
