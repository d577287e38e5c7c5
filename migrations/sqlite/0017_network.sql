-- Networking: what Neutron keeps.

CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL,
    status TEXT NOT NULL,
    mtu BIGINT NOT NULL,
    external BIGINT NOT NULL,
    is_default BIGINT NOT NULL,
    port_security_enabled BIGINT NOT NULL,
    network_type TEXT,
    physical_network TEXT,
    segmentation_id BIGINT,
    qos_policy_id TEXT,
    dns_domain TEXT NOT NULL,
    availability_zone_hints TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX networks_by_project_id ON networks (project_id, id);
CREATE INDEX networks_by_name ON networks (name, id);
CREATE INDEX networks_by_external ON networks (external, id);
CREATE INDEX networks_by_qos_policy_id ON networks (qos_policy_id, id);
CREATE UNIQUE INDEX networks_unique ON networks (network_type, COALESCE(physical_network, ''), segmentation_id);

CREATE TABLE subnets (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    network_id TEXT NOT NULL,
    ip_version BIGINT NOT NULL,
    subnetpool_id TEXT,
    cidr TEXT NOT NULL,
    gateway_ip TEXT,
    allocation_pools TEXT NOT NULL,
    dns_nameservers TEXT NOT NULL,
    host_routes TEXT NOT NULL,
    enable_dhcp BIGINT NOT NULL,
    ipv6_ra_mode TEXT,
    ipv6_address_mode TEXT,
    service_types TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX subnets_by_project_id ON subnets (project_id, id);
CREATE INDEX subnets_by_name ON subnets (name, id);
CREATE INDEX subnets_by_network_id ON subnets (network_id, id);
CREATE INDEX subnets_by_cidr ON subnets (cidr, id);
CREATE INDEX subnets_by_subnetpool_id ON subnets (subnetpool_id, id);

-- The addresses of a subnet that are free, as ranges; numbers are written so that their order is that of the texts.
-- By the name of a kind of network: the numbers that networks of it can get.
CREATE TABLE network_free_ranges (
    subnet_id TEXT NOT NULL,
    first     TEXT NOT NULL,
    last      TEXT NOT NULL,
    PRIMARY KEY (subnet_id, first)
);
CREATE INDEX network_free_ranges_by_last ON network_free_ranges (subnet_id, last);
INSERT INTO network_free_ranges (subnet_id, first, last)
    VALUES ('vxlan', '00000000000000000000000000000001', '000000000000000000000000000f4240');

-- The addresses that are given out.
CREATE TABLE network_allocations (
    subnet_id  TEXT NOT NULL,
    address    TEXT NOT NULL,
    port_id    TEXT NOT NULL,
    network_id TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    position   BIGINT NOT NULL,
    PRIMARY KEY (subnet_id, address)
);
CREATE INDEX network_allocations_by_port_id ON network_allocations (port_id, position);
CREATE INDEX network_allocations_by_ip_address ON network_allocations (ip_address);
CREATE INDEX network_allocations_by_network_id ON network_allocations (network_id, subnet_id);

CREATE TABLE subnet_pools (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    prefixes TEXT NOT NULL,
    ip_version BIGINT NOT NULL,
    default_prefixlen BIGINT,
    min_prefixlen BIGINT,
    max_prefixlen BIGINT,
    default_quota BIGINT,
    address_scope_id TEXT,
    is_default BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX subnet_pools_by_project_id ON subnet_pools (project_id, id);
CREATE INDEX subnet_pools_by_name ON subnet_pools (name, id);
CREATE INDEX subnet_pools_by_address_scope_id ON subnet_pools (address_scope_id, id);

CREATE TABLE address_scopes (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    ip_version BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX address_scopes_by_project_id ON address_scopes (project_id, id);
CREATE INDEX address_scopes_by_name ON address_scopes (name, id);

CREATE TABLE ports (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    network_id TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL,
    mac_address TEXT,
    status TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_owner TEXT NOT NULL,
    port_security_enabled BIGINT,
    allowed_address_pairs TEXT NOT NULL,
    extra_dhcp_opts TEXT NOT NULL,
    host_id TEXT NOT NULL,
    profile TEXT NOT NULL,
    vnic_type TEXT NOT NULL,
    vif_type TEXT NOT NULL,
    vif_details TEXT NOT NULL,
    dns_name TEXT NOT NULL,
    qos_policy_id TEXT,
    device_profile TEXT,
    ip_allocation TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX ports_by_project_id ON ports (project_id, id);
CREATE INDEX ports_by_name ON ports (name, id);
CREATE INDEX ports_by_network_id ON ports (network_id, id);
CREATE INDEX ports_by_device_id ON ports (device_id, id);
CREATE INDEX ports_by_device_owner ON ports (device_owner, id);
CREATE INDEX ports_by_host_id ON ports (host_id, id);
CREATE INDEX ports_by_mac_address ON ports (mac_address, id);
CREATE INDEX ports_by_qos_policy_id ON ports (qos_policy_id, id);
CREATE UNIQUE INDEX ports_unique ON ports (network_id, mac_address);

CREATE TABLE port_security_groups (
    port_id  TEXT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (port_id, group_id)
);
CREATE INDEX port_security_groups_by_group_id ON port_security_groups (group_id, port_id);

-- On which other hosts a port is about to be.
CREATE TABLE port_bindings (
    port_id   TEXT NOT NULL,
    host      TEXT NOT NULL,
    vnic_type TEXT NOT NULL,
    profile   TEXT NOT NULL,
    PRIMARY KEY (port_id, host)
);

CREATE TABLE security_groups (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    stateful BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX security_groups_by_project_id ON security_groups (project_id, id);
CREATE INDEX security_groups_by_name ON security_groups (name, id);
CREATE UNIQUE INDEX security_groups_default ON security_groups (project_id) WHERE name = 'default';

CREATE TABLE security_group_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    security_group_id TEXT NOT NULL,
    remote_group_id TEXT,
    remote_address_group_id TEXT,
    protocol TEXT,
    port_range_min BIGINT,
    port_range_max BIGINT,
    ethertype TEXT NOT NULL,
    remote_ip_prefix TEXT,
    description TEXT NOT NULL,
    equality TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX security_group_rules_by_project_id ON security_group_rules (project_id, id);
CREATE INDEX security_group_rules_by_remote_group_id ON security_group_rules (remote_group_id, id);
CREATE INDEX security_group_rules_by_remote_address_group_id ON security_group_rules (remote_address_group_id, id);
CREATE UNIQUE INDEX security_group_rules_unique ON security_group_rules (security_group_id, equality);

CREATE TABLE default_security_group_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    ethertype TEXT NOT NULL,
    protocol TEXT,
    port_range_min BIGINT,
    port_range_max BIGINT,
    remote_ip_prefix TEXT,
    remote_group_id TEXT,
    remote_address_group_id TEXT,
    description TEXT NOT NULL,
    used_in_default_sg BIGINT NOT NULL,
    used_in_non_default_sg BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

INSERT INTO default_security_group_rules (id, project_id, direction, ethertype, protocol, port_range_min, port_range_max,
    remote_ip_prefix, remote_group_id, remote_address_group_id, description, used_in_default_sg, used_in_non_default_sg,
    revision_number, created_at, updated_at) VALUES
    ('5e0a0000-0000-4000-8000-000000000001', '', 'egress', 'IPv4', NULL, NULL, NULL, NULL, NULL, NULL, 'Legacy default SG rule for egress traffic', 1, 1, 0, 0, 0),
    ('5e0a0000-0000-4000-8000-000000000002', '', 'egress', 'IPv6', NULL, NULL, NULL, NULL, NULL, NULL, 'Legacy default SG rule for egress traffic', 1, 1, 0, 0, 0),
    ('5e0a0000-0000-4000-8000-000000000003', '', 'ingress', 'IPv4', NULL, NULL, NULL, NULL, 'PARENT', NULL, 'Legacy default SG rule for ingress traffic', 1, 0, 0, 0, 0),
    ('5e0a0000-0000-4000-8000-000000000004', '', 'ingress', 'IPv6', NULL, NULL, NULL, NULL, 'PARENT', NULL, 'Legacy default SG rule for ingress traffic', 1, 0, 0, 0, 0);

CREATE TABLE address_groups (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    addresses TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX address_groups_by_project_id ON address_groups (project_id, id);
CREATE INDEX address_groups_by_name ON address_groups (name, id);

CREATE TABLE routers (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL,
    status TEXT NOT NULL,
    distributed BIGINT,
    ha BIGINT,
    flavor_id TEXT,
    availability_zone_hints TEXT NOT NULL,
    routes TEXT NOT NULL,
    gateway_network_id TEXT,
    gateway_port_id TEXT,
    enable_snat BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX routers_by_project_id ON routers (project_id, id);
CREATE INDEX routers_by_name ON routers (name, id);
CREATE INDEX routers_by_gateway_network_id ON routers (gateway_network_id, id);

CREATE TABLE floating_ips (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL,
    floating_network_id TEXT NOT NULL,
    floating_ip_address TEXT,
    port_id TEXT,
    fixed_ip_address TEXT,
    router_id TEXT,
    status TEXT NOT NULL,
    qos_policy_id TEXT,
    dns_name TEXT NOT NULL,
    dns_domain TEXT NOT NULL,
    floating_port_id TEXT,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX floating_ips_by_project_id ON floating_ips (project_id, id);
CREATE INDEX floating_ips_by_floating_network_id ON floating_ips (floating_network_id, id);
CREATE INDEX floating_ips_by_floating_ip_address ON floating_ips (floating_ip_address, id);
CREATE INDEX floating_ips_by_port_id ON floating_ips (port_id, id);
CREATE INDEX floating_ips_by_router_id ON floating_ips (router_id, id);
CREATE INDEX floating_ips_by_qos_policy_id ON floating_ips (qos_policy_id, id);

CREATE TABLE port_forwardings (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    floatingip_id TEXT NOT NULL,
    protocol TEXT NOT NULL,
    internal_port_id TEXT NOT NULL,
    internal_ip_address TEXT NOT NULL,
    internal_port BIGINT,
    external_port BIGINT,
    description TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX port_forwardings_by_internal_port_id ON port_forwardings (internal_port_id, id);
CREATE UNIQUE INDEX port_forwardings_unique ON port_forwardings (floatingip_id, protocol, external_port);

-- What is shared with whom; * is everybody.
CREATE TABLE network_rbac (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    action TEXT NOT NULL,
    target_project TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX network_rbac_by_project_id ON network_rbac (project_id, id);
CREATE UNIQUE INDEX network_rbac_unique ON network_rbac (object_id, target_project, action);
CREATE INDEX network_rbac_by_target ON network_rbac (object_type, target_project, action, object_id);

CREATE TABLE trunks (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL,
    port_id TEXT NOT NULL,
    status TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX trunks_by_project_id ON trunks (project_id, id);
CREATE INDEX trunks_by_name ON trunks (name, id);
CREATE UNIQUE INDEX trunks_unique ON trunks (port_id);

CREATE TABLE trunk_subports (
    port_id           TEXT PRIMARY KEY,
    trunk_id          TEXT NOT NULL,
    segmentation_type TEXT NOT NULL,
    segmentation_id   BIGINT NOT NULL
);
CREATE UNIQUE INDEX trunk_subports_unique ON trunk_subports (trunk_id, segmentation_type, segmentation_id);

CREATE TABLE qos_policies (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    is_default BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX qos_policies_by_project_id ON qos_policies (project_id, id);
CREATE INDEX qos_policies_by_name ON qos_policies (name, id);

CREATE TABLE qos_bandwidth_limit_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    max_kbps BIGINT NOT NULL,
    max_burst_kbps BIGINT NOT NULL,
    direction TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX qos_bandwidth_limit_rules_by_policy_id ON qos_bandwidth_limit_rules (policy_id, id);

CREATE TABLE qos_dscp_marking_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    dscp_mark BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX qos_dscp_marking_rules_by_policy_id ON qos_dscp_marking_rules (policy_id, id);

CREATE TABLE qos_minimum_bandwidth_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    min_kbps BIGINT NOT NULL,
    direction TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX qos_minimum_bandwidth_rules_by_policy_id ON qos_minimum_bandwidth_rules (policy_id, id);

CREATE TABLE qos_packet_rate_limit_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    max_kpps BIGINT NOT NULL,
    max_burst_kpps BIGINT NOT NULL,
    direction TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX qos_packet_rate_limit_rules_by_policy_id ON qos_packet_rate_limit_rules (policy_id, id);

CREATE TABLE qos_minimum_packet_rate_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    min_kpps BIGINT NOT NULL,
    direction TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX qos_minimum_packet_rate_rules_by_policy_id ON qos_minimum_packet_rate_rules (policy_id, id);

CREATE TABLE metering_labels (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX metering_labels_by_project_id ON metering_labels (project_id, id);
CREATE INDEX metering_labels_by_name ON metering_labels (name, id);

CREATE TABLE metering_label_rules (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    metering_label_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    excluded BIGINT NOT NULL,
    remote_ip_prefix TEXT,
    source_ip_prefix TEXT,
    destination_ip_prefix TEXT,
    revision_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX metering_label_rules_by_project_id ON metering_label_rules (project_id, id);
CREATE INDEX metering_label_rules_by_metering_label_id ON metering_label_rules (metering_label_id, id);

-- Words that things can be found by.
CREATE TABLE network_tags (
    resource_id TEXT NOT NULL,
    tag         TEXT NOT NULL,
    PRIMARY KEY (resource_id, tag)
);
CREATE INDEX network_tags_by_tag ON network_tags (tag, resource_id);

-- The limits that administrators have set.
CREATE TABLE network_quotas (
    project_id TEXT NOT NULL,
    resource   TEXT NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);

-- What was said of agents.
CREATE TABLE network_agents (
    id             TEXT PRIMARY KEY,
    admin_state_up BIGINT NOT NULL,
    description    TEXT
);

-- What was taken from an agent, or given to it.
CREATE TABLE network_agent_exceptions (
    kind      TEXT NOT NULL,
    object_id TEXT NOT NULL,
    PRIMARY KEY (kind, object_id)
);

CREATE TABLE auto_allocated_topologies (
    project_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL,
    router_id  TEXT NOT NULL
);
