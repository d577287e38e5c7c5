//! Who may do what in the Networking API: the rules under Neutron's names, with its defaults.

use novella_rest::{
    policy::{
        Claim::{InParent, InProject, Role, Shared},
        MANAGER, MEMBER, PolicyDescription, READER, SERVICE, Who,
    },
    rules,
};

/// The policy of Networking. Its rules may name whose a thing is, whose the network is that it is part of, and whether it is
/// shared with who asks.
pub(crate) const POLICY: PolicyDescription = PolicyDescription {
    rules: ALL,
    admin: CONTEXT_IS_ADMIN.name,
    in_project: |role| format!("rule:context_is_admin or (role:{role} and project_id:%(project_id)s)"),
    attributes: &["project_id", "tenant_id", "ext_parent:project_id", "network:project_id", "shared"],
};

/// Readers in the project of the thing, and administrators.
const READER_OF: Who = Who::AnyOf(&[InProject(READER)]);
/// Members in the project of the thing, and administrators.
const MEMBER_OF: Who = Who::AnyOf(&[InProject(MEMBER)]);
/// Managers in the project of the thing, and administrators.
const MANAGER_OF: Who = Who::AnyOf(&[InProject(MANAGER)]);
/// The same in the project of what the thing is part of.
const READER_OF_PARENT: Who = Who::AnyOf(&[InParent(READER)]);
const MEMBER_OF_PARENT: Who = Who::AnyOf(&[InParent(MEMBER)]);
const MANAGER_OF_PARENT: Who = Who::AnyOf(&[InParent(MANAGER)]);
/// Whoever reads anywhere, and administrators.
const READER_ANYWHERE: Who = Who::AnyOf(&[Role(READER)]);
/// Services, and administrators.
const SERVICE_TOO: Who = Who::AnyOf(&[Role(SERVICE)]);
/// Services.
const SERVICE_ONLY: Who = Who::AnyOf(&[Role(SERVICE)]);

rules! {
    CONTEXT_IS_ADMIN = "context_is_admin", Who::Check("role:admin"), "Be an administrator, who sees what every project has.";
    CREATE_ADDRESS_GROUP = "create_address_group", MEMBER_OF, "Make an address group.";
    GET_ADDRESS_GROUP = "get_address_group", Who::AnyOf(&[InProject(READER), Shared]), "List and show address groups.";
    UPDATE_ADDRESS_GROUP = "update_address_group", MEMBER_OF, "Change an address group.";
    DELETE_ADDRESS_GROUP = "delete_address_group", MEMBER_OF, "Delete an address group.";
    ADD_ADDRESSES = "add_addresses", MEMBER_OF, "Put addresses into an address group.";
    REMOVE_ADDRESSES = "remove_addresses", MEMBER_OF, "Take addresses out of an address group.";
    CREATE_ADDRESS_SCOPE = "create_address_scope", MEMBER_OF, "Make an address scope.";
    CREATE_ADDRESS_SCOPE_SHARED = "create_address_scope:shared", Who::Admin, "Give an address scope `shared` when it is made.";
    GET_ADDRESS_SCOPE = "get_address_scope", Who::AnyOf(&[InProject(READER), Shared]), "List and show address scopes.";
    UPDATE_ADDRESS_SCOPE = "update_address_scope", MEMBER_OF, "Change an address scope.";
    UPDATE_ADDRESS_SCOPE_SHARED = "update_address_scope:shared", Who::Admin, "Change `shared` of an address scope.";
    DELETE_ADDRESS_SCOPE = "delete_address_scope", MEMBER_OF, "Delete an address scope.";
    CREATE_AGENT = "create_agent", Who::Admin, "Make an agent.";
    GET_AGENT = "get_agent", Who::Admin, "List and show agents.";
    UPDATE_AGENT = "update_agent", Who::Admin, "Change an agent.";
    DELETE_AGENT = "delete_agent", Who::Admin, "Delete an agent.";
    CREATE_DHCP_NETWORK = "create_dhcp-network", Who::Admin, "Make a DHCP network.";
    GET_DHCP_NETWORKS = "get_dhcp-networks", Who::Admin, "List and show DHCP networks.";
    DELETE_DHCP_NETWORK = "delete_dhcp-network", Who::Admin, "Delete a DHCP network.";
    CREATE_L3_ROUTER = "create_l3-router", Who::Admin, "Make a L3 router.";
    GET_L3_ROUTERS = "get_l3-routers", Who::Admin, "List and show L3 routers.";
    UPDATE_L3_ROUTER = "update_l3-router", Who::Admin, "Change a L3 router.";
    DELETE_L3_ROUTER = "delete_l3-router", Who::Admin, "Delete a L3 router.";
    GET_DHCP_AGENTS = "get_dhcp-agents", Who::Admin, "List and show DHCP agents.";
    GET_L3_AGENTS = "get_l3-agents", Who::Admin, "List and show L3 agents.";
    GET_AUTO_ALLOCATED_TOPOLOGY = "get_auto_allocated_topology", READER_OF, "Show a project's own topology, which is made if it is not there.";
    DELETE_AUTO_ALLOCATED_TOPOLOGY = "delete_auto_allocated_topology", MEMBER_OF, "Delete a project's own topology.";
    GET_AVAILABILITY_ZONE = "get_availability_zone", READER_ANYWHERE, "List and show availability zones.";
    CREATE_DEFAULT_SECURITY_GROUP_RULE = "create_default_security_group_rule", Who::Admin, "Make a default security group rule.";
    GET_DEFAULT_SECURITY_GROUP_RULE = "get_default_security_group_rule", READER_ANYWHERE, "List and show default security group rules.";
    DELETE_DEFAULT_SECURITY_GROUP_RULE = "delete_default_security_group_rule", Who::Admin, "Delete a default security group rule.";
    CREATE_FLAVOR = "create_flavor", Who::Admin, "Make a flavor.";
    GET_FLAVOR = "get_flavor", READER_ANYWHERE, "List and show flavors.";
    UPDATE_FLAVOR = "update_flavor", Who::Admin, "Change a flavor.";
    DELETE_FLAVOR = "delete_flavor", Who::Admin, "Delete a flavor.";
    CREATE_SERVICE_PROFILE = "create_service_profile", Who::Admin, "Make a service profile.";
    GET_SERVICE_PROFILE = "get_service_profile", Who::Admin, "List and show service profiles.";
    UPDATE_SERVICE_PROFILE = "update_service_profile", Who::Admin, "Change a service profile.";
    DELETE_SERVICE_PROFILE = "delete_service_profile", Who::Admin, "Delete a service profile.";
    GET_FLAVOR_SERVICE_PROFILE = "get_flavor_service_profile", READER_OF, "List and show flavor service profiles.";
    CREATE_FLAVOR_SERVICE_PROFILE = "create_flavor_service_profile", Who::Admin, "Make a flavor service profile.";
    DELETE_FLAVOR_SERVICE_PROFILE = "delete_flavor_service_profile", Who::Admin, "Delete a flavor service profile.";
    CREATE_FLOATINGIP = "create_floatingip", MEMBER_OF, "Make a floating IP.";
    CREATE_FLOATINGIP_FLOATING_IP_ADDRESS = "create_floatingip:floating_ip_address", MANAGER_OF, "Give a floating IP `floating_ip_address` when it is made.";
    CREATE_FLOATINGIP_ROUTER_ID = "create_floatingip:router_id", MEMBER_OF, "Give a floating IP `router_id` when it is made.";
    GET_FLOATINGIP = "get_floatingip", READER_OF, "List and show floating IPs.";
    UPDATE_FLOATINGIP = "update_floatingip", MEMBER_OF, "Change a floating IP.";
    UPDATE_FLOATINGIP_ROUTER_ID = "update_floatingip:router_id", MEMBER_OF, "Change `router_id` of a floating IP.";
    DELETE_FLOATINGIP = "delete_floatingip", MEMBER_OF, "Delete a floating IP.";
    GET_FLOATINGIP_POOL = "get_floatingip_pool", READER_OF, "List and show floatingip pools.";
    CREATE_FLOATINGIP_PORT_FORWARDING = "create_floatingip_port_forwarding", MEMBER_OF_PARENT, "Make a port forwarding.";
    GET_FLOATINGIP_PORT_FORWARDING = "get_floatingip_port_forwarding", READER_OF_PARENT, "List and show port forwardings.";
    UPDATE_FLOATINGIP_PORT_FORWARDING = "update_floatingip_port_forwarding", MEMBER_OF_PARENT, "Change a port forwarding.";
    DELETE_FLOATINGIP_PORT_FORWARDING = "delete_floatingip_port_forwarding", MEMBER_OF_PARENT, "Delete a port forwarding.";
    CREATE_METERING_LABEL = "create_metering_label", MANAGER_OF, "Make a metering label.";
    GET_METERING_LABEL = "get_metering_label", READER_OF, "List and show metering labels.";
    DELETE_METERING_LABEL = "delete_metering_label", MANAGER_OF, "Delete a metering label.";
    CREATE_METERING_LABEL_RULE = "create_metering_label_rule", MANAGER_OF, "Make a metering label rule.";
    GET_METERING_LABEL_RULE = "get_metering_label_rule", READER_OF, "List and show metering label rules.";
    DELETE_METERING_LABEL_RULE = "delete_metering_label_rule", MANAGER_OF, "Delete a metering label rule.";
    CREATE_NETWORK = "create_network", MEMBER_OF, "Make a network.";
    CREATE_NETWORK_SHARED = "create_network:shared", Who::Admin, "Give a network `shared` when it is made.";
    CREATE_NETWORK_ROUTER_EXTERNAL = "create_network:router:external", Who::Admin, "Give a network `router:external` when it is made.";
    CREATE_NETWORK_IS_DEFAULT = "create_network:is_default", Who::Admin, "Give a network `is_default` when it is made.";
    CREATE_NETWORK_PORT_SECURITY_ENABLED = "create_network:port_security_enabled", MEMBER_OF, "Give a network `port_security_enabled` when it is made.";
    CREATE_NETWORK_SEGMENTS = "create_network:segments", Who::Admin, "Give a network `segments` when it is made.";
    CREATE_NETWORK_PROVIDER_NETWORK_TYPE = "create_network:provider:network_type", Who::Admin, "Give a network `provider:network_type` when it is made.";
    CREATE_NETWORK_PROVIDER_PHYSICAL_NETWORK = "create_network:provider:physical_network", Who::Admin, "Give a network `provider:physical_network` when it is made.";
    CREATE_NETWORK_PROVIDER_SEGMENTATION_ID = "create_network:provider:segmentation_id", Who::Admin, "Give a network `provider:segmentation_id` when it is made.";
    GET_NETWORK = "get_network", Who::AnyOf(&[Role(SERVICE), InProject(READER), Shared]), "List and show networks.";
    GET_NETWORK_SEGMENTS = "get_network:segments", Who::Admin, "See `segments` of a network.";
    GET_NETWORK_PROVIDER_NETWORK_TYPE = "get_network:provider:network_type", Who::Admin, "See `provider:network_type` of a network.";
    GET_NETWORK_PROVIDER_PHYSICAL_NETWORK = "get_network:provider:physical_network", Who::Admin, "See `provider:physical_network` of a network.";
    GET_NETWORK_PROVIDER_SEGMENTATION_ID = "get_network:provider:segmentation_id", Who::Admin, "See `provider:segmentation_id` of a network.";
    UPDATE_NETWORK = "update_network", MEMBER_OF, "Change a network.";
    UPDATE_NETWORK_SEGMENTS = "update_network:segments", Who::Admin, "Change `segments` of a network.";
    UPDATE_NETWORK_SHARED = "update_network:shared", Who::Admin, "Change `shared` of a network.";
    UPDATE_NETWORK_PROVIDER_NETWORK_TYPE = "update_network:provider:network_type", Who::Admin, "Change `provider:network_type` of a network.";
    UPDATE_NETWORK_PROVIDER_PHYSICAL_NETWORK = "update_network:provider:physical_network", Who::Admin, "Change `provider:physical_network` of a network.";
    UPDATE_NETWORK_PROVIDER_SEGMENTATION_ID = "update_network:provider:segmentation_id", Who::Admin, "Change `provider:segmentation_id` of a network.";
    UPDATE_NETWORK_ROUTER_EXTERNAL = "update_network:router:external", Who::Admin, "Change `router:external` of a network.";
    UPDATE_NETWORK_IS_DEFAULT = "update_network:is_default", Who::Admin, "Change `is_default` of a network.";
    UPDATE_NETWORK_PORT_SECURITY_ENABLED = "update_network:port_security_enabled", MEMBER_OF, "Change `port_security_enabled` of a network.";
    DELETE_NETWORK = "delete_network", MEMBER_OF, "Delete a network.";
    GET_NETWORK_IP_AVAILABILITY = "get_network_ip_availability", SERVICE_TOO, "List and show how many addresses networks have left.";
    GET_PORT_BINDING = "get_port_binding", SERVICE_TOO, "List and show port bindings.";
    CREATE_PORT_BINDING = "create_port_binding", SERVICE_ONLY, "Make a port binding.";
    DELETE_PORT_BINDING = "delete_port_binding", SERVICE_ONLY, "Delete a port binding.";
    ACTIVATE = "activate", SERVICE_ONLY, "Let a port be on another host.";
    CREATE_PORT = "create_port", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER), Shared]), "Make a port.";
    CREATE_PORT_DEVICE_ID = "create_port:device_id", Who::AnyOf(&[Role(SERVICE), InProject(MEMBER)]), "Give a port `device_id` when it is made.";
    CREATE_PORT_DEVICE_OWNER = "create_port:device_owner", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `device_owner` when it is made.";
    CREATE_PORT_MAC_ADDRESS = "create_port:mac_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `mac_address` when it is made.";
    CREATE_PORT_FIXED_IPS = "create_port:fixed_ips", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER), Shared]), "Give a port `fixed_ips` when it is made.";
    CREATE_PORT_FIXED_IPS_IP_ADDRESS = "create_port:fixed_ips:ip_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `fixed_ips:ip_address` when it is made.";
    CREATE_PORT_FIXED_IPS_SUBNET_ID = "create_port:fixed_ips:subnet_id", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER), Shared]), "Give a port `fixed_ips:subnet_id` when it is made.";
    CREATE_PORT_PORT_SECURITY_ENABLED = "create_port:port_security_enabled", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `port_security_enabled` when it is made.";
    CREATE_PORT_BINDING_HOST_ID = "create_port:binding:host_id", SERVICE_TOO, "Give a port `binding:host_id` when it is made.";
    CREATE_PORT_BINDING_PROFILE = "create_port:binding:profile", SERVICE_ONLY, "Give a port `binding:profile` when it is made.";
    CREATE_PORT_BINDING_VNIC_TYPE = "create_port:binding:vnic_type", Who::AnyOf(&[Role(SERVICE), InProject(MEMBER)]), "Give a port `binding:vnic_type` when it is made.";
    CREATE_PORT_ALLOWED_ADDRESS_PAIRS = "create_port:allowed_address_pairs", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `allowed_address_pairs` when it is made.";
    CREATE_PORT_ALLOWED_ADDRESS_PAIRS_MAC_ADDRESS = "create_port:allowed_address_pairs:mac_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `allowed_address_pairs:mac_address` when it is made.";
    CREATE_PORT_ALLOWED_ADDRESS_PAIRS_IP_ADDRESS = "create_port:allowed_address_pairs:ip_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Give a port `allowed_address_pairs:ip_address` when it is made.";
    GET_PORT = "get_port", Who::AnyOf(&[Role(SERVICE), InParent(READER), InProject(READER)]), "List and show ports.";
    GET_PORT_BINDING_VIF_TYPE = "get_port:binding:vif_type", SERVICE_TOO, "See `binding:vif_type` of a port.";
    GET_PORT_BINDING_VIF_DETAILS = "get_port:binding:vif_details", SERVICE_TOO, "See `binding:vif_details` of a port.";
    GET_PORT_BINDING_HOST_ID = "get_port:binding:host_id", SERVICE_TOO, "See `binding:host_id` of a port.";
    GET_PORT_BINDING_PROFILE = "get_port:binding:profile", SERVICE_TOO, "See `binding:profile` of a port.";
    GET_PORT_RESOURCE_REQUEST = "get_port:resource_request", Who::Admin, "See `resource_request` of a port.";
    UPDATE_PORT = "update_port", Who::AnyOf(&[Role(SERVICE), InProject(MEMBER)]), "Change a port.";
    UPDATE_PORT_DEVICE_ID = "update_port:device_id", Who::AnyOf(&[Role(SERVICE), InProject(MEMBER)]), "Change `device_id` of a port.";
    UPDATE_PORT_DEVICE_OWNER = "update_port:device_owner", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `device_owner` of a port.";
    UPDATE_PORT_MAC_ADDRESS = "update_port:mac_address", Who::AnyOf(&[Role(SERVICE), InParent(MANAGER)]), "Change `mac_address` of a port.";
    UPDATE_PORT_FIXED_IPS = "update_port:fixed_ips", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `fixed_ips` of a port.";
    UPDATE_PORT_FIXED_IPS_IP_ADDRESS = "update_port:fixed_ips:ip_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `fixed_ips:ip_address` of a port.";
    UPDATE_PORT_FIXED_IPS_SUBNET_ID = "update_port:fixed_ips:subnet_id", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER), Shared]), "Change `fixed_ips:subnet_id` of a port.";
    UPDATE_PORT_PORT_SECURITY_ENABLED = "update_port:port_security_enabled", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `port_security_enabled` of a port.";
    UPDATE_PORT_BINDING_HOST_ID = "update_port:binding:host_id", SERVICE_TOO, "Change `binding:host_id` of a port.";
    UPDATE_PORT_BINDING_PROFILE = "update_port:binding:profile", SERVICE_ONLY, "Change `binding:profile` of a port.";
    UPDATE_PORT_BINDING_VNIC_TYPE = "update_port:binding:vnic_type", Who::AnyOf(&[Role(SERVICE), InProject(MEMBER)]), "Change `binding:vnic_type` of a port.";
    UPDATE_PORT_ALLOWED_ADDRESS_PAIRS = "update_port:allowed_address_pairs", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `allowed_address_pairs` of a port.";
    UPDATE_PORT_ALLOWED_ADDRESS_PAIRS_MAC_ADDRESS = "update_port:allowed_address_pairs:mac_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `allowed_address_pairs:mac_address` of a port.";
    UPDATE_PORT_ALLOWED_ADDRESS_PAIRS_IP_ADDRESS = "update_port:allowed_address_pairs:ip_address", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER)]), "Change `allowed_address_pairs:ip_address` of a port.";
    DELETE_PORT = "delete_port", Who::AnyOf(&[Role(SERVICE), InParent(MEMBER), InProject(MEMBER)]), "Delete a port.";
    GET_POLICY = "get_policy", Who::AnyOf(&[InProject(READER), Shared]), "List and show QoS policies.";
    CREATE_POLICY = "create_policy", MANAGER_OF, "Make a QoS policy.";
    UPDATE_POLICY = "update_policy", MANAGER_OF, "Change a QoS policy.";
    DELETE_POLICY = "delete_policy", MANAGER_OF, "Delete a QoS policy.";
    GET_RULE_TYPE = "get_rule_type", READER_ANYWHERE, "List and show rule types.";
    GET_POLICY_BANDWIDTH_LIMIT_RULE = "get_policy_bandwidth_limit_rule", READER_OF_PARENT, "List and show bandwidth limit rules.";
    CREATE_POLICY_BANDWIDTH_LIMIT_RULE = "create_policy_bandwidth_limit_rule", MANAGER_OF_PARENT, "Make a bandwidth limit rule.";
    UPDATE_POLICY_BANDWIDTH_LIMIT_RULE = "update_policy_bandwidth_limit_rule", MANAGER_OF_PARENT, "Change a bandwidth limit rule.";
    DELETE_POLICY_BANDWIDTH_LIMIT_RULE = "delete_policy_bandwidth_limit_rule", MANAGER_OF_PARENT, "Delete a bandwidth limit rule.";
    GET_POLICY_PACKET_RATE_LIMIT_RULE = "get_policy_packet_rate_limit_rule", READER_OF_PARENT, "List and show packet rate limit rules.";
    CREATE_POLICY_PACKET_RATE_LIMIT_RULE = "create_policy_packet_rate_limit_rule", MANAGER_OF_PARENT, "Make a packet rate limit rule.";
    UPDATE_POLICY_PACKET_RATE_LIMIT_RULE = "update_policy_packet_rate_limit_rule", MANAGER_OF_PARENT, "Change a packet rate limit rule.";
    DELETE_POLICY_PACKET_RATE_LIMIT_RULE = "delete_policy_packet_rate_limit_rule", MANAGER_OF_PARENT, "Delete a packet rate limit rule.";
    GET_POLICY_DSCP_MARKING_RULE = "get_policy_dscp_marking_rule", READER_OF_PARENT, "List and show DSCP marking rules.";
    CREATE_POLICY_DSCP_MARKING_RULE = "create_policy_dscp_marking_rule", MANAGER_OF_PARENT, "Make a DSCP marking rule.";
    UPDATE_POLICY_DSCP_MARKING_RULE = "update_policy_dscp_marking_rule", MANAGER_OF_PARENT, "Change a DSCP marking rule.";
    DELETE_POLICY_DSCP_MARKING_RULE = "delete_policy_dscp_marking_rule", MANAGER_OF_PARENT, "Delete a DSCP marking rule.";
    GET_POLICY_MINIMUM_BANDWIDTH_RULE = "get_policy_minimum_bandwidth_rule", READER_OF_PARENT, "List and show minimum bandwidth rules.";
    CREATE_POLICY_MINIMUM_BANDWIDTH_RULE = "create_policy_minimum_bandwidth_rule", MANAGER_OF_PARENT, "Make a minimum bandwidth rule.";
    UPDATE_POLICY_MINIMUM_BANDWIDTH_RULE = "update_policy_minimum_bandwidth_rule", MANAGER_OF_PARENT, "Change a minimum bandwidth rule.";
    DELETE_POLICY_MINIMUM_BANDWIDTH_RULE = "delete_policy_minimum_bandwidth_rule", MANAGER_OF_PARENT, "Delete a minimum bandwidth rule.";
    GET_POLICY_MINIMUM_PACKET_RATE_RULE = "get_policy_minimum_packet_rate_rule", READER_OF_PARENT, "List and show minimum packet rate rules.";
    CREATE_POLICY_MINIMUM_PACKET_RATE_RULE = "create_policy_minimum_packet_rate_rule", MANAGER_OF_PARENT, "Make a minimum packet rate rule.";
    UPDATE_POLICY_MINIMUM_PACKET_RATE_RULE = "update_policy_minimum_packet_rate_rule", MANAGER_OF_PARENT, "Change a minimum packet rate rule.";
    DELETE_POLICY_MINIMUM_PACKET_RATE_RULE = "delete_policy_minimum_packet_rate_rule", MANAGER_OF_PARENT, "Delete a minimum packet rate rule.";
    GET_QUOTA = "get_quota", MANAGER_OF, "List and show quotas.";
    UPDATE_QUOTA = "update_quota", Who::Admin, "Change a quota.";
    DELETE_QUOTA = "delete_quota", Who::Admin, "Delete a quota.";
    CREATE_RBAC_POLICY = "create_rbac_policy", MEMBER_OF, "Make a policy of sharing.";
    CREATE_RBAC_POLICY_TARGET_TENANT = "create_rbac_policy:target_tenant", Who::Admin, "Give a policy of sharing `target_tenant` when it is made.";
    CREATE_RBAC_POLICY_TARGET_PROJECT = "create_rbac_policy:target_project", Who::Admin, "Give a policy of sharing `target_project` when it is made.";
    UPDATE_RBAC_POLICY = "update_rbac_policy", MEMBER_OF, "Change a policy of sharing.";
    UPDATE_RBAC_POLICY_TARGET_TENANT = "update_rbac_policy:target_tenant", Who::Admin, "Change `target_tenant` of a policy of sharing.";
    UPDATE_RBAC_POLICY_TARGET_PROJECT = "update_rbac_policy:target_project", Who::Admin, "Change `target_project` of a policy of sharing.";
    GET_RBAC_POLICY = "get_rbac_policy", READER_OF, "List and show policies of sharing.";
    DELETE_RBAC_POLICY = "delete_rbac_policy", MEMBER_OF, "Delete a policy of sharing.";
    CREATE_ROUTER = "create_router", MEMBER_OF, "Make a router.";
    CREATE_ROUTER_DISTRIBUTED = "create_router:distributed", Who::Admin, "Give a router `distributed` when it is made.";
    CREATE_ROUTER_HA = "create_router:ha", Who::Admin, "Give a router `ha` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO = "create_router:external_gateway_info", MEMBER_OF, "Give a router `external_gateway_info` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO_NETWORK_ID = "create_router:external_gateway_info:network_id", MEMBER_OF, "Give a router `external_gateway_info:network_id` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO_ENABLE_SNAT = "create_router:external_gateway_info:enable_snat", Who::Admin, "Give a router `external_gateway_info:enable_snat` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO_EXTERNAL_FIXED_IPS = "create_router:external_gateway_info:external_fixed_ips", Who::Admin, "Give a router `external_gateway_info:external_fixed_ips` when it is made.";
    GET_ROUTER = "get_router", READER_OF, "List and show routers.";
    GET_ROUTER_DISTRIBUTED = "get_router:distributed", Who::Admin, "See `distributed` of a router.";
    GET_ROUTER_HA = "get_router:ha", Who::Admin, "See `ha` of a router.";
    UPDATE_ROUTER = "update_router", MEMBER_OF, "Change a router.";
    UPDATE_ROUTER_DISTRIBUTED = "update_router:distributed", Who::Admin, "Change `distributed` of a router.";
    UPDATE_ROUTER_HA = "update_router:ha", Who::Admin, "Change `ha` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO = "update_router:external_gateway_info", MEMBER_OF, "Change `external_gateway_info` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO_NETWORK_ID = "update_router:external_gateway_info:network_id", MEMBER_OF, "Change `external_gateway_info:network_id` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO_ENABLE_SNAT = "update_router:external_gateway_info:enable_snat", Who::Admin, "Change `external_gateway_info:enable_snat` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO_EXTERNAL_FIXED_IPS = "update_router:external_gateway_info:external_fixed_ips", Who::Admin, "Change `external_gateway_info:external_fixed_ips` of a router.";
    DELETE_ROUTER = "delete_router", MEMBER_OF, "Delete a router.";
    ADD_ROUTER_INTERFACE = "add_router_interface", MEMBER_OF, "Connect a router with a subnet.";
    REMOVE_ROUTER_INTERFACE = "remove_router_interface", MEMBER_OF, "Disconnect a router from a subnet.";
    ADD_EXTRAROUTES = "add_extraroutes", MEMBER_OF, "Add routes to a router.";
    REMOVE_EXTRAROUTES = "remove_extraroutes", MEMBER_OF, "Take routes from a router.";
    CREATE_SECURITY_GROUP = "create_security_group", MEMBER_OF, "Make a security group.";
    GET_SECURITY_GROUP = "get_security_group", Who::AnyOf(&[InProject(READER), Shared]), "List and show security groups.";
    UPDATE_SECURITY_GROUP = "update_security_group", MEMBER_OF, "Change a security group.";
    DELETE_SECURITY_GROUP = "delete_security_group", MEMBER_OF, "Delete a security group.";
    CREATE_SECURITY_GROUP_RULE = "create_security_group_rule", MEMBER_OF_PARENT, "Make a security group rule.";
    GET_SECURITY_GROUP_RULE = "get_security_group_rule", READER_OF_PARENT, "List and show security group rules.";
    DELETE_SECURITY_GROUP_RULE = "delete_security_group_rule", MEMBER_OF_PARENT, "Delete a security group rule.";
    CREATE_SEGMENT = "create_segment", Who::Admin, "Make a segment.";
    GET_SEGMENT = "get_segment", Who::Admin, "List and show segments.";
    UPDATE_SEGMENT = "update_segment", Who::Admin, "Change a segment.";
    DELETE_SEGMENT = "delete_segment", Who::Admin, "Delete a segment.";
    GET_SERVICE_PROVIDER = "get_service_provider", READER_ANYWHERE, "List and show service providers.";
    CREATE_SUBNET = "create_subnet", Who::AnyOf(&[InParent(MEMBER)]), "Make a subnet.";
    CREATE_SUBNET_SEGMENT_ID = "create_subnet:segment_id", Who::Admin, "Give a subnet `segment_id` when it is made.";
    CREATE_SUBNET_SERVICE_TYPES = "create_subnet:service_types", Who::Admin, "Give a subnet `service_types` when it is made.";
    GET_SUBNET = "get_subnet", Who::AnyOf(&[Role(SERVICE), InParent(READER), InProject(READER), Shared]), "List and show subnets.";
    GET_SUBNET_SEGMENT_ID = "get_subnet:segment_id", Who::Admin, "See `segment_id` of a subnet.";
    UPDATE_SUBNET = "update_subnet", Who::AnyOf(&[InParent(MEMBER), InProject(MEMBER)]), "Change a subnet.";
    UPDATE_SUBNET_SEGMENT_ID = "update_subnet:segment_id", Who::Admin, "Change `segment_id` of a subnet.";
    UPDATE_SUBNET_SERVICE_TYPES = "update_subnet:service_types", Who::Admin, "Change `service_types` of a subnet.";
    DELETE_SUBNET = "delete_subnet", Who::AnyOf(&[InParent(MEMBER), InProject(MEMBER)]), "Delete a subnet.";
    CREATE_SUBNETPOOL = "create_subnetpool", MEMBER_OF, "Make a subnet pool.";
    CREATE_SUBNETPOOL_SHARED = "create_subnetpool:shared", Who::Admin, "Give a subnet pool `shared` when it is made.";
    CREATE_SUBNETPOOL_IS_DEFAULT = "create_subnetpool:is_default", Who::Admin, "Give a subnet pool `is_default` when it is made.";
    GET_SUBNETPOOL = "get_subnetpool", Who::AnyOf(&[InProject(READER), Shared]), "List and show subnet pools.";
    UPDATE_SUBNETPOOL = "update_subnetpool", MEMBER_OF, "Change a subnet pool.";
    UPDATE_SUBNETPOOL_IS_DEFAULT = "update_subnetpool:is_default", Who::Admin, "Change `is_default` of a subnet pool.";
    DELETE_SUBNETPOOL = "delete_subnetpool", MEMBER_OF, "Delete a subnet pool.";
    ONBOARD_NETWORK_SUBNETS = "onboard_network_subnets", MEMBER_OF, "Put the subnets of a network into a subnet pool.";
    ADD_PREFIXES = "add_prefixes", MEMBER_OF, "Add prefixes to a subnet pool.";
    REMOVE_PREFIXES = "remove_prefixes", MEMBER_OF, "Take prefixes from a subnet pool.";
    CREATE_TRUNK = "create_trunk", MEMBER_OF, "Make a trunk.";
    GET_TRUNK = "get_trunk", READER_OF, "List and show trunks.";
    UPDATE_TRUNK = "update_trunk", MEMBER_OF, "Change a trunk.";
    DELETE_TRUNK = "delete_trunk", MEMBER_OF, "Delete a trunk.";
    GET_SUBPORTS = "get_subports", READER_OF, "List and show subports.";
    ADD_SUBPORTS = "add_subports", MEMBER_OF, "Put ports into a trunk.";
    REMOVE_SUBPORTS = "remove_subports", MEMBER_OF, "Take ports out of a trunk.";
}
