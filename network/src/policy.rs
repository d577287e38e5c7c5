//! Who may do what in the Networking API: the rules under Neutron's names, with its defaults.

use novella_rest::{
    policy::{
        Grantee::{InParent, InProject, Role, Shared},
        MANAGER, MEMBER, PolicyDescription, READER, SERVICE, SERVICES,
        Who::{self, Admin, AnyOf, Check},
    },
    rules,
};

/// The policy of Networking. Its rules may name whose a thing is, whose the network is that it is part of, and whether it is
/// shared with who asks.
static POLICY: PolicyDescription = PolicyDescription {
    attributes: &["project_id", "tenant_id", "ext_parent:project_id", "network:project_id", "shared"],
    denied: |rule| format!("rule:{rule} is disallowed by policy"),
    ..PolicyDescription::DEFAULT
};

/// Readers in the project of the thing, and administrators.
const READER_OF: Who = AnyOf(&[InProject(READER)]);
/// Members in the project of the thing, and administrators.
const MEMBER_OF: Who = AnyOf(&[InProject(MEMBER)]);
/// Managers in the project of the thing, and administrators.
const MANAGER_OF: Who = AnyOf(&[InProject(MANAGER)]);
/// The same in the project of what the thing is part of.
const READER_OF_PARENT: Who = AnyOf(&[InParent(READER)]);
const MEMBER_OF_PARENT: Who = AnyOf(&[InParent(MEMBER)]);
const MANAGER_OF_PARENT: Who = AnyOf(&[InParent(MANAGER)]);
/// Whoever reads anywhere, and administrators.
const READER_ANYWHERE: Who = AnyOf(&[Role(READER)]);
/// Several of these: services, members or readers as above, and whoever a thing is shared with.
const SERVICE_OR_MEMBER: Who = AnyOf(&[Role(SERVICE), InProject(MEMBER)]);
const SERVICE_OR_MEMBER_OF_PARENT: Who = AnyOf(&[Role(SERVICE), InParent(MEMBER)]);
const SERVICE_OR_MEMBER_OF_PARENT_OR_SHARED: Who = AnyOf(&[Role(SERVICE), InParent(MEMBER), Shared]);
const MEMBER_OF_PARENT_OR_OWN: Who = AnyOf(&[InParent(MEMBER), InProject(MEMBER)]);
const READER_OR_SHARED: Who = AnyOf(&[InProject(READER), Shared]);

rules! { POLICY, "":
    CONTEXT_IS_ADMIN: Check("role:admin"), "Be an administrator, who sees what every project has.";
    CREATE_ADDRESS_GROUP: MEMBER_OF, "Make an address group.";
    GET_ADDRESS_GROUP: READER_OR_SHARED, "List and show address groups.";
    UPDATE_ADDRESS_GROUP: MEMBER_OF, "Change an address group.";
    DELETE_ADDRESS_GROUP: MEMBER_OF, "Delete an address group.";
    ADD_ADDRESSES: MEMBER_OF, "Put addresses into an address group.";
    REMOVE_ADDRESSES: MEMBER_OF, "Take addresses out of an address group.";
    CREATE_ADDRESS_SCOPE: MEMBER_OF, "Make an address scope.";
    CREATE_ADDRESS_SCOPE_SHARED = "create_address_scope:shared": Admin, "Give an address scope `shared` when it is made.";
    GET_ADDRESS_SCOPE: READER_OR_SHARED, "List and show address scopes.";
    UPDATE_ADDRESS_SCOPE: MEMBER_OF, "Change an address scope.";
    UPDATE_ADDRESS_SCOPE_SHARED = "update_address_scope:shared": Admin, "Change `shared` of an address scope.";
    DELETE_ADDRESS_SCOPE: MEMBER_OF, "Delete an address scope.";
    CREATE_AGENT: Admin, "Make an agent.";
    GET_AGENT: Admin, "List and show agents.";
    UPDATE_AGENT: Admin, "Change an agent.";
    DELETE_AGENT: Admin, "Delete an agent.";
    CREATE_DHCP_NETWORK = "create_dhcp-network": Admin, "Make a DHCP network.";
    GET_DHCP_NETWORKS = "get_dhcp-networks": Admin, "List and show DHCP networks.";
    DELETE_DHCP_NETWORK = "delete_dhcp-network": Admin, "Delete a DHCP network.";
    CREATE_L3_ROUTER = "create_l3-router": Admin, "Make a L3 router.";
    GET_L3_ROUTERS = "get_l3-routers": Admin, "List and show L3 routers.";
    UPDATE_L3_ROUTER = "update_l3-router": Admin, "Change a L3 router.";
    DELETE_L3_ROUTER = "delete_l3-router": Admin, "Delete a L3 router.";
    GET_DHCP_AGENTS = "get_dhcp-agents": Admin, "List and show DHCP agents.";
    GET_L3_AGENTS = "get_l3-agents": Admin, "List and show L3 agents.";
    GET_AUTO_ALLOCATED_TOPOLOGY: READER_OF, "Show a project's own topology, which is made if it is not there.";
    DELETE_AUTO_ALLOCATED_TOPOLOGY: MEMBER_OF, "Delete a project's own topology.";
    GET_AVAILABILITY_ZONE: READER_ANYWHERE, "List and show availability zones.";
    CREATE_DEFAULT_SECURITY_GROUP_RULE: Admin, "Make a default security group rule.";
    GET_DEFAULT_SECURITY_GROUP_RULE: READER_ANYWHERE, "List and show default security group rules.";
    DELETE_DEFAULT_SECURITY_GROUP_RULE: Admin, "Delete a default security group rule.";
    CREATE_FLAVOR: Admin, "Make a flavor.";
    GET_FLAVOR: READER_ANYWHERE, "List and show flavors.";
    UPDATE_FLAVOR: Admin, "Change a flavor.";
    DELETE_FLAVOR: Admin, "Delete a flavor.";
    CREATE_SERVICE_PROFILE: Admin, "Make a service profile.";
    GET_SERVICE_PROFILE: Admin, "List and show service profiles.";
    UPDATE_SERVICE_PROFILE: Admin, "Change a service profile.";
    DELETE_SERVICE_PROFILE: Admin, "Delete a service profile.";
    GET_FLAVOR_SERVICE_PROFILE: READER_OF, "List and show flavor service profiles.";
    CREATE_FLAVOR_SERVICE_PROFILE: Admin, "Make a flavor service profile.";
    DELETE_FLAVOR_SERVICE_PROFILE: Admin, "Delete a flavor service profile.";
    CREATE_FLOATINGIP: MEMBER_OF, "Make a floating IP.";
    CREATE_FLOATINGIP_FLOATING_IP_ADDRESS = "create_floatingip:floating_ip_address": MANAGER_OF, "Give a floating IP `floating_ip_address` when it is made.";
    CREATE_FLOATINGIP_ROUTER_ID = "create_floatingip:router_id": MEMBER_OF, "Give a floating IP `router_id` when it is made.";
    GET_FLOATINGIP: READER_OF, "List and show floating IPs.";
    UPDATE_FLOATINGIP: MEMBER_OF, "Change a floating IP.";
    UPDATE_FLOATINGIP_ROUTER_ID = "update_floatingip:router_id": MEMBER_OF, "Change `router_id` of a floating IP.";
    DELETE_FLOATINGIP: MEMBER_OF, "Delete a floating IP.";
    GET_FLOATINGIP_POOL: READER_OF, "List and show floatingip pools.";
    CREATE_FLOATINGIP_PORT_FORWARDING: MEMBER_OF_PARENT, "Make a port forwarding.";
    GET_FLOATINGIP_PORT_FORWARDING: READER_OF_PARENT, "List and show port forwardings.";
    UPDATE_FLOATINGIP_PORT_FORWARDING: MEMBER_OF_PARENT, "Change a port forwarding.";
    DELETE_FLOATINGIP_PORT_FORWARDING: MEMBER_OF_PARENT, "Delete a port forwarding.";
    CREATE_METERING_LABEL: MANAGER_OF, "Make a metering label.";
    GET_METERING_LABEL: READER_OF, "List and show metering labels.";
    DELETE_METERING_LABEL: MANAGER_OF, "Delete a metering label.";
    CREATE_METERING_LABEL_RULE: MANAGER_OF, "Make a metering label rule.";
    GET_METERING_LABEL_RULE: READER_OF, "List and show metering label rules.";
    DELETE_METERING_LABEL_RULE: MANAGER_OF, "Delete a metering label rule.";
    CREATE_NETWORK: MEMBER_OF, "Make a network.";
    CREATE_NETWORK_SHARED = "create_network:shared": Admin, "Give a network `shared` when it is made.";
    CREATE_NETWORK_ROUTER_EXTERNAL = "create_network:router:external": Admin, "Give a network `router:external` when it is made.";
    CREATE_NETWORK_IS_DEFAULT = "create_network:is_default": Admin, "Give a network `is_default` when it is made.";
    CREATE_NETWORK_PORT_SECURITY_ENABLED = "create_network:port_security_enabled": MEMBER_OF, "Give a network `port_security_enabled` when it is made.";
    CREATE_NETWORK_SEGMENTS = "create_network:segments": Admin, "Give a network `segments` when it is made.";
    CREATE_NETWORK_PROVIDER_NETWORK_TYPE = "create_network:provider:network_type": Admin, "Give a network `provider:network_type` when it is made.";
    CREATE_NETWORK_PROVIDER_PHYSICAL_NETWORK = "create_network:provider:physical_network": Admin, "Give a network `provider:physical_network` when it is made.";
    CREATE_NETWORK_PROVIDER_SEGMENTATION_ID = "create_network:provider:segmentation_id": Admin, "Give a network `provider:segmentation_id` when it is made.";
    GET_NETWORK: AnyOf(&[Role(SERVICE), InProject(READER), Shared]), "List and show networks.";
    GET_NETWORK_SEGMENTS = "get_network:segments": Admin, "See `segments` of a network.";
    GET_NETWORK_PROVIDER_NETWORK_TYPE = "get_network:provider:network_type": Admin, "See `provider:network_type` of a network.";
    GET_NETWORK_PROVIDER_PHYSICAL_NETWORK = "get_network:provider:physical_network": Admin, "See `provider:physical_network` of a network.";
    GET_NETWORK_PROVIDER_SEGMENTATION_ID = "get_network:provider:segmentation_id": Admin, "See `provider:segmentation_id` of a network.";
    UPDATE_NETWORK: MEMBER_OF, "Change a network.";
    UPDATE_NETWORK_SEGMENTS = "update_network:segments": Admin, "Change `segments` of a network.";
    UPDATE_NETWORK_SHARED = "update_network:shared": Admin, "Change `shared` of a network.";
    UPDATE_NETWORK_PROVIDER_NETWORK_TYPE = "update_network:provider:network_type": Admin, "Change `provider:network_type` of a network.";
    UPDATE_NETWORK_PROVIDER_PHYSICAL_NETWORK = "update_network:provider:physical_network": Admin, "Change `provider:physical_network` of a network.";
    UPDATE_NETWORK_PROVIDER_SEGMENTATION_ID = "update_network:provider:segmentation_id": Admin, "Change `provider:segmentation_id` of a network.";
    UPDATE_NETWORK_ROUTER_EXTERNAL = "update_network:router:external": Admin, "Change `router:external` of a network.";
    UPDATE_NETWORK_IS_DEFAULT = "update_network:is_default": Admin, "Change `is_default` of a network.";
    UPDATE_NETWORK_PORT_SECURITY_ENABLED = "update_network:port_security_enabled": MEMBER_OF, "Change `port_security_enabled` of a network.";
    DELETE_NETWORK: MEMBER_OF, "Delete a network.";
    GET_NETWORK_IP_AVAILABILITY: SERVICES, "List and show how many addresses networks have left.";
    GET_PORT_BINDING: SERVICES, "List and show port bindings.";
    CREATE_PORT_BINDING: SERVICES, "Make a port binding.";
    DELETE_PORT_BINDING: SERVICES, "Delete a port binding.";
    ACTIVATE: SERVICES, "Let a port be on another host.";
    CREATE_PORT: SERVICE_OR_MEMBER_OF_PARENT_OR_SHARED, "Make a port.";
    CREATE_PORT_DEVICE_ID = "create_port:device_id": SERVICE_OR_MEMBER, "Give a port `device_id` when it is made.";
    CREATE_PORT_DEVICE_OWNER = "create_port:device_owner": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `device_owner` when it is made.";
    CREATE_PORT_MAC_ADDRESS = "create_port:mac_address": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `mac_address` when it is made.";
    CREATE_PORT_FIXED_IPS = "create_port:fixed_ips": SERVICE_OR_MEMBER_OF_PARENT_OR_SHARED, "Give a port `fixed_ips` when it is made.";
    CREATE_PORT_FIXED_IPS_IP_ADDRESS = "create_port:fixed_ips:ip_address": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `fixed_ips:ip_address` when it is made.";
    CREATE_PORT_FIXED_IPS_SUBNET_ID = "create_port:fixed_ips:subnet_id": SERVICE_OR_MEMBER_OF_PARENT_OR_SHARED, "Give a port `fixed_ips:subnet_id` when it is made.";
    CREATE_PORT_PORT_SECURITY_ENABLED = "create_port:port_security_enabled": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `port_security_enabled` when it is made.";
    CREATE_PORT_BINDING_HOST_ID = "create_port:binding:host_id": SERVICES, "Give a port `binding:host_id` when it is made.";
    CREATE_PORT_BINDING_PROFILE = "create_port:binding:profile": SERVICES, "Give a port `binding:profile` when it is made.";
    CREATE_PORT_BINDING_VNIC_TYPE = "create_port:binding:vnic_type": SERVICE_OR_MEMBER, "Give a port `binding:vnic_type` when it is made.";
    CREATE_PORT_ALLOWED_ADDRESS_PAIRS = "create_port:allowed_address_pairs": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `allowed_address_pairs` when it is made.";
    CREATE_PORT_ALLOWED_ADDRESS_PAIRS_MAC_ADDRESS = "create_port:allowed_address_pairs:mac_address": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `allowed_address_pairs:mac_address` when it is made.";
    CREATE_PORT_ALLOWED_ADDRESS_PAIRS_IP_ADDRESS = "create_port:allowed_address_pairs:ip_address": SERVICE_OR_MEMBER_OF_PARENT, "Give a port `allowed_address_pairs:ip_address` when it is made.";
    GET_PORT: AnyOf(&[Role(SERVICE), InParent(READER), InProject(READER)]), "List and show ports.";
    GET_PORT_BINDING_VIF_TYPE = "get_port:binding:vif_type": SERVICES, "See `binding:vif_type` of a port.";
    GET_PORT_BINDING_VIF_DETAILS = "get_port:binding:vif_details": SERVICES, "See `binding:vif_details` of a port.";
    GET_PORT_BINDING_HOST_ID = "get_port:binding:host_id": SERVICES, "See `binding:host_id` of a port.";
    GET_PORT_BINDING_PROFILE = "get_port:binding:profile": SERVICES, "See `binding:profile` of a port.";
    GET_PORT_RESOURCE_REQUEST = "get_port:resource_request": Admin, "See `resource_request` of a port.";
    UPDATE_PORT: SERVICE_OR_MEMBER, "Change a port.";
    UPDATE_PORT_DEVICE_ID = "update_port:device_id": SERVICE_OR_MEMBER, "Change `device_id` of a port.";
    UPDATE_PORT_DEVICE_OWNER = "update_port:device_owner": SERVICE_OR_MEMBER_OF_PARENT, "Change `device_owner` of a port.";
    UPDATE_PORT_MAC_ADDRESS = "update_port:mac_address": AnyOf(&[Role(SERVICE), InParent(MANAGER)]), "Change `mac_address` of a port.";
    UPDATE_PORT_FIXED_IPS = "update_port:fixed_ips": SERVICE_OR_MEMBER_OF_PARENT, "Change `fixed_ips` of a port.";
    UPDATE_PORT_FIXED_IPS_IP_ADDRESS = "update_port:fixed_ips:ip_address": SERVICE_OR_MEMBER_OF_PARENT, "Change `fixed_ips:ip_address` of a port.";
    UPDATE_PORT_FIXED_IPS_SUBNET_ID = "update_port:fixed_ips:subnet_id": SERVICE_OR_MEMBER_OF_PARENT_OR_SHARED, "Change `fixed_ips:subnet_id` of a port.";
    UPDATE_PORT_PORT_SECURITY_ENABLED = "update_port:port_security_enabled": SERVICE_OR_MEMBER_OF_PARENT, "Change `port_security_enabled` of a port.";
    UPDATE_PORT_BINDING_HOST_ID = "update_port:binding:host_id": SERVICES, "Change `binding:host_id` of a port.";
    UPDATE_PORT_BINDING_PROFILE = "update_port:binding:profile": SERVICES, "Change `binding:profile` of a port.";
    UPDATE_PORT_BINDING_VNIC_TYPE = "update_port:binding:vnic_type": SERVICE_OR_MEMBER, "Change `binding:vnic_type` of a port.";
    UPDATE_PORT_ALLOWED_ADDRESS_PAIRS = "update_port:allowed_address_pairs": SERVICE_OR_MEMBER_OF_PARENT, "Change `allowed_address_pairs` of a port.";
    UPDATE_PORT_ALLOWED_ADDRESS_PAIRS_MAC_ADDRESS = "update_port:allowed_address_pairs:mac_address": SERVICE_OR_MEMBER_OF_PARENT, "Change `allowed_address_pairs:mac_address` of a port.";
    UPDATE_PORT_ALLOWED_ADDRESS_PAIRS_IP_ADDRESS = "update_port:allowed_address_pairs:ip_address": SERVICE_OR_MEMBER_OF_PARENT, "Change `allowed_address_pairs:ip_address` of a port.";
    DELETE_PORT: AnyOf(&[Role(SERVICE), InParent(MEMBER), InProject(MEMBER)]), "Delete a port.";
    GET_POLICY: READER_OR_SHARED, "List and show QoS policies.";
    CREATE_POLICY: MANAGER_OF, "Make a QoS policy.";
    UPDATE_POLICY: MANAGER_OF, "Change a QoS policy.";
    DELETE_POLICY: MANAGER_OF, "Delete a QoS policy.";
    GET_RULE_TYPE: READER_ANYWHERE, "List and show rule types.";
    GET_POLICY_BANDWIDTH_LIMIT_RULE: READER_OF_PARENT, "List and show bandwidth limit rules.";
    CREATE_POLICY_BANDWIDTH_LIMIT_RULE: MANAGER_OF_PARENT, "Make a bandwidth limit rule.";
    UPDATE_POLICY_BANDWIDTH_LIMIT_RULE: MANAGER_OF_PARENT, "Change a bandwidth limit rule.";
    DELETE_POLICY_BANDWIDTH_LIMIT_RULE: MANAGER_OF_PARENT, "Delete a bandwidth limit rule.";
    GET_POLICY_PACKET_RATE_LIMIT_RULE: READER_OF_PARENT, "List and show packet rate limit rules.";
    CREATE_POLICY_PACKET_RATE_LIMIT_RULE: MANAGER_OF_PARENT, "Make a packet rate limit rule.";
    UPDATE_POLICY_PACKET_RATE_LIMIT_RULE: MANAGER_OF_PARENT, "Change a packet rate limit rule.";
    DELETE_POLICY_PACKET_RATE_LIMIT_RULE: MANAGER_OF_PARENT, "Delete a packet rate limit rule.";
    GET_POLICY_DSCP_MARKING_RULE: READER_OF_PARENT, "List and show DSCP marking rules.";
    CREATE_POLICY_DSCP_MARKING_RULE: MANAGER_OF_PARENT, "Make a DSCP marking rule.";
    UPDATE_POLICY_DSCP_MARKING_RULE: MANAGER_OF_PARENT, "Change a DSCP marking rule.";
    DELETE_POLICY_DSCP_MARKING_RULE: MANAGER_OF_PARENT, "Delete a DSCP marking rule.";
    GET_POLICY_MINIMUM_BANDWIDTH_RULE: READER_OF_PARENT, "List and show minimum bandwidth rules.";
    CREATE_POLICY_MINIMUM_BANDWIDTH_RULE: MANAGER_OF_PARENT, "Make a minimum bandwidth rule.";
    UPDATE_POLICY_MINIMUM_BANDWIDTH_RULE: MANAGER_OF_PARENT, "Change a minimum bandwidth rule.";
    DELETE_POLICY_MINIMUM_BANDWIDTH_RULE: MANAGER_OF_PARENT, "Delete a minimum bandwidth rule.";
    GET_POLICY_MINIMUM_PACKET_RATE_RULE: READER_OF_PARENT, "List and show minimum packet rate rules.";
    CREATE_POLICY_MINIMUM_PACKET_RATE_RULE: MANAGER_OF_PARENT, "Make a minimum packet rate rule.";
    UPDATE_POLICY_MINIMUM_PACKET_RATE_RULE: MANAGER_OF_PARENT, "Change a minimum packet rate rule.";
    DELETE_POLICY_MINIMUM_PACKET_RATE_RULE: MANAGER_OF_PARENT, "Delete a minimum packet rate rule.";
    GET_QUOTA: MANAGER_OF, "List and show quotas.";
    UPDATE_QUOTA: Admin, "Change a quota.";
    DELETE_QUOTA: Admin, "Delete a quota.";
    CREATE_RBAC_POLICY: MEMBER_OF, "Make a policy of sharing.";
    CREATE_RBAC_POLICY_TARGET_TENANT = "create_rbac_policy:target_tenant": Admin, "Give a policy of sharing `target_tenant` when it is made.";
    CREATE_RBAC_POLICY_TARGET_PROJECT = "create_rbac_policy:target_project": Admin, "Give a policy of sharing `target_project` when it is made.";
    UPDATE_RBAC_POLICY: MEMBER_OF, "Change a policy of sharing.";
    UPDATE_RBAC_POLICY_TARGET_TENANT = "update_rbac_policy:target_tenant": Admin, "Change `target_tenant` of a policy of sharing.";
    UPDATE_RBAC_POLICY_TARGET_PROJECT = "update_rbac_policy:target_project": Admin, "Change `target_project` of a policy of sharing.";
    GET_RBAC_POLICY: READER_OF, "List and show policies of sharing.";
    DELETE_RBAC_POLICY: MEMBER_OF, "Delete a policy of sharing.";
    CREATE_ROUTER: MEMBER_OF, "Make a router.";
    CREATE_ROUTER_DISTRIBUTED = "create_router:distributed": Admin, "Give a router `distributed` when it is made.";
    CREATE_ROUTER_HA = "create_router:ha": Admin, "Give a router `ha` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO = "create_router:external_gateway_info": MEMBER_OF, "Give a router `external_gateway_info` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO_NETWORK_ID = "create_router:external_gateway_info:network_id": MEMBER_OF, "Give a router `external_gateway_info:network_id` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO_ENABLE_SNAT = "create_router:external_gateway_info:enable_snat": Admin, "Give a router `external_gateway_info:enable_snat` when it is made.";
    CREATE_ROUTER_EXTERNAL_GATEWAY_INFO_EXTERNAL_FIXED_IPS = "create_router:external_gateway_info:external_fixed_ips": Admin, "Give a router `external_gateway_info:external_fixed_ips` when it is made.";
    GET_ROUTER: READER_OF, "List and show routers.";
    GET_ROUTER_DISTRIBUTED = "get_router:distributed": Admin, "See `distributed` of a router.";
    GET_ROUTER_HA = "get_router:ha": Admin, "See `ha` of a router.";
    UPDATE_ROUTER: MEMBER_OF, "Change a router.";
    UPDATE_ROUTER_DISTRIBUTED = "update_router:distributed": Admin, "Change `distributed` of a router.";
    UPDATE_ROUTER_HA = "update_router:ha": Admin, "Change `ha` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO = "update_router:external_gateway_info": MEMBER_OF, "Change `external_gateway_info` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO_NETWORK_ID = "update_router:external_gateway_info:network_id": MEMBER_OF, "Change `external_gateway_info:network_id` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO_ENABLE_SNAT = "update_router:external_gateway_info:enable_snat": Admin, "Change `external_gateway_info:enable_snat` of a router.";
    UPDATE_ROUTER_EXTERNAL_GATEWAY_INFO_EXTERNAL_FIXED_IPS = "update_router:external_gateway_info:external_fixed_ips": Admin, "Change `external_gateway_info:external_fixed_ips` of a router.";
    DELETE_ROUTER: MEMBER_OF, "Delete a router.";
    ADD_ROUTER_INTERFACE: MEMBER_OF, "Connect a router with a subnet.";
    REMOVE_ROUTER_INTERFACE: MEMBER_OF, "Disconnect a router from a subnet.";
    ADD_EXTRAROUTES: MEMBER_OF, "Add routes to a router.";
    REMOVE_EXTRAROUTES: MEMBER_OF, "Take routes from a router.";
    CREATE_SECURITY_GROUP: MEMBER_OF, "Make a security group.";
    GET_SECURITY_GROUP: READER_OR_SHARED, "List and show security groups.";
    UPDATE_SECURITY_GROUP: MEMBER_OF, "Change a security group.";
    DELETE_SECURITY_GROUP: MEMBER_OF, "Delete a security group.";
    CREATE_SECURITY_GROUP_RULE: MEMBER_OF_PARENT, "Make a security group rule.";
    GET_SECURITY_GROUP_RULE: READER_OF_PARENT, "List and show security group rules.";
    DELETE_SECURITY_GROUP_RULE: MEMBER_OF_PARENT, "Delete a security group rule.";
    CREATE_SEGMENT: Admin, "Make a segment.";
    GET_SEGMENT: Admin, "List and show segments.";
    UPDATE_SEGMENT: Admin, "Change a segment.";
    DELETE_SEGMENT: Admin, "Delete a segment.";
    GET_SERVICE_PROVIDER: READER_ANYWHERE, "List and show service providers.";
    CREATE_SUBNET: MEMBER_OF_PARENT, "Make a subnet.";
    CREATE_SUBNET_SEGMENT_ID = "create_subnet:segment_id": Admin, "Give a subnet `segment_id` when it is made.";
    CREATE_SUBNET_SERVICE_TYPES = "create_subnet:service_types": Admin, "Give a subnet `service_types` when it is made.";
    GET_SUBNET: AnyOf(&[Role(SERVICE), InParent(READER), InProject(READER), Shared]), "List and show subnets.";
    GET_SUBNET_SEGMENT_ID = "get_subnet:segment_id": Admin, "See `segment_id` of a subnet.";
    UPDATE_SUBNET: MEMBER_OF_PARENT_OR_OWN, "Change a subnet.";
    UPDATE_SUBNET_SEGMENT_ID = "update_subnet:segment_id": Admin, "Change `segment_id` of a subnet.";
    UPDATE_SUBNET_SERVICE_TYPES = "update_subnet:service_types": Admin, "Change `service_types` of a subnet.";
    DELETE_SUBNET: MEMBER_OF_PARENT_OR_OWN, "Delete a subnet.";
    CREATE_SUBNETPOOL: MEMBER_OF, "Make a subnet pool.";
    CREATE_SUBNETPOOL_SHARED = "create_subnetpool:shared": Admin, "Give a subnet pool `shared` when it is made.";
    CREATE_SUBNETPOOL_IS_DEFAULT = "create_subnetpool:is_default": Admin, "Give a subnet pool `is_default` when it is made.";
    GET_SUBNETPOOL: READER_OR_SHARED, "List and show subnet pools.";
    UPDATE_SUBNETPOOL: MEMBER_OF, "Change a subnet pool.";
    UPDATE_SUBNETPOOL_IS_DEFAULT = "update_subnetpool:is_default": Admin, "Change `is_default` of a subnet pool.";
    DELETE_SUBNETPOOL: MEMBER_OF, "Delete a subnet pool.";
    ONBOARD_NETWORK_SUBNETS: MEMBER_OF, "Put the subnets of a network into a subnet pool.";
    ADD_PREFIXES: MEMBER_OF, "Add prefixes to a subnet pool.";
    REMOVE_PREFIXES: MEMBER_OF, "Take prefixes from a subnet pool.";
    CREATE_TRUNK: MEMBER_OF, "Make a trunk.";
    GET_TRUNK: READER_OF, "List and show trunks.";
    UPDATE_TRUNK: MEMBER_OF, "Change a trunk.";
    DELETE_TRUNK: MEMBER_OF, "Delete a trunk.";
    GET_SUBPORTS: READER_OF, "List and show subports.";
    ADD_SUBPORTS: MEMBER_OF, "Put ports into a trunk.";
    REMOVE_SUBPORTS: MEMBER_OF, "Take ports out of a trunk.";
}
