-- Networking: what Neutron keeps.

CREATE TABLE networks (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    mtu BIGINT NOT NULL,
    external BOOLEAN NOT NULL,
    is_default BOOLEAN NOT NULL,
    port_security_enabled BOOLEAN NOT NULL,
    network_type TEXT COLLATE "C",
    physical_network TEXT COLLATE "C",
    segmentation_id BIGINT,
    qos_policy_id TEXT COLLATE "C",
    dns_domain TEXT COLLATE "C" NOT NULL,
    availability_zone_hints JSONB NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX networks_by_project_id ON networks (project_id, id);
CREATE INDEX networks_by_name ON networks (name, id);
CREATE INDEX networks_by_external ON networks (external, id);
CREATE INDEX networks_by_qos_policy_id ON networks (qos_policy_id, id);
CREATE UNIQUE INDEX networks_unique ON networks (network_type, COALESCE(physical_network, ''), segmentation_id);

CREATE TABLE subnets (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    network_id TEXT COLLATE "C" NOT NULL,
    ip_version BIGINT NOT NULL,
    subnetpool_id TEXT COLLATE "C",
    cidr TEXT COLLATE "C" NOT NULL,
    gateway_ip TEXT COLLATE "C",
    allocation_pools JSONB NOT NULL,
    dns_nameservers JSONB NOT NULL,
    host_routes JSONB NOT NULL,
    enable_dhcp BOOLEAN NOT NULL,
    ipv6_ra_mode TEXT COLLATE "C",
    ipv6_address_mode TEXT COLLATE "C",
    service_types JSONB NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX subnets_by_project_id ON subnets (project_id, id);
CREATE INDEX subnets_by_name ON subnets (name, id);
CREATE INDEX subnets_by_network_id ON subnets (network_id, id);
CREATE INDEX subnets_by_cidr ON subnets (cidr, id);
CREATE INDEX subnets_by_subnetpool_id ON subnets (subnetpool_id, id);

-- The addresses of a subnet that are free, as ranges; numbers are written so that their order is that of the texts.
-- By the name of a kind of network: the numbers that networks of it can get.
CREATE TABLE network_free_ranges (
    subnet_id TEXT COLLATE "C" NOT NULL,
    first     TEXT COLLATE "C" NOT NULL,
    last      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (subnet_id, first)
);
CREATE INDEX network_free_ranges_by_last ON network_free_ranges (subnet_id, last);
INSERT INTO network_free_ranges (subnet_id, first, last)
    VALUES ('vxlan', '00000000000000000000000000000001', '000000000000000000000000000f4240');

-- The addresses that are given out.
CREATE TABLE network_allocations (
    subnet_id  TEXT COLLATE "C" NOT NULL,
    address    TEXT COLLATE "C" NOT NULL,
    port_id    TEXT COLLATE "C" NOT NULL,
    network_id TEXT COLLATE "C" NOT NULL,
    ip_address TEXT COLLATE "C" NOT NULL,
    position   BIGINT NOT NULL,
    PRIMARY KEY (subnet_id, address)
);
CREATE INDEX network_allocations_by_port_id ON network_allocations (port_id, position);
CREATE INDEX network_allocations_by_ip_address ON network_allocations (ip_address);
CREATE INDEX network_allocations_by_network_id ON network_allocations (network_id, subnet_id);

CREATE TABLE subnet_pools (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    prefixes JSONB NOT NULL,
    ip_version BIGINT NOT NULL,
    default_prefixlen BIGINT,
    min_prefixlen BIGINT,
    max_prefixlen BIGINT,
    default_quota BIGINT,
    address_scope_id TEXT COLLATE "C",
    is_default BOOLEAN NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX subnet_pools_by_project_id ON subnet_pools (project_id, id);
CREATE INDEX subnet_pools_by_name ON subnet_pools (name, id);
CREATE INDEX subnet_pools_by_address_scope_id ON subnet_pools (address_scope_id, id);

CREATE TABLE address_scopes (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    ip_version BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX address_scopes_by_project_id ON address_scopes (project_id, id);
CREATE INDEX address_scopes_by_name ON address_scopes (name, id);

CREATE TABLE ports (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    network_id TEXT COLLATE "C" NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    mac_address TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    device_owner TEXT COLLATE "C" NOT NULL,
    port_security_enabled BOOLEAN,
    allowed_address_pairs JSONB NOT NULL,
    extra_dhcp_opts JSONB NOT NULL,
    host_id TEXT COLLATE "C" NOT NULL,
    profile JSONB NOT NULL,
    vnic_type TEXT COLLATE "C" NOT NULL,
    vif_type TEXT COLLATE "C" NOT NULL,
    vif_details JSONB NOT NULL,
    dns_name TEXT COLLATE "C" NOT NULL,
    qos_policy_id TEXT COLLATE "C",
    device_profile TEXT COLLATE "C",
    ip_allocation TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
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
    port_id  TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (port_id, group_id)
);
CREATE INDEX port_security_groups_by_group_id ON port_security_groups (group_id, port_id);

-- On which other hosts a port is about to be.
CREATE TABLE port_bindings (
    port_id   TEXT COLLATE "C" NOT NULL,
    host      TEXT COLLATE "C" NOT NULL,
    vnic_type TEXT COLLATE "C" NOT NULL,
    profile   JSONB NOT NULL,
    PRIMARY KEY (port_id, host)
);

CREATE TABLE security_groups (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    stateful BOOLEAN NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX security_groups_by_project_id ON security_groups (project_id, id);
CREATE INDEX security_groups_by_name ON security_groups (name, id);
CREATE UNIQUE INDEX security_groups_default ON security_groups (project_id) WHERE name = 'default';

CREATE TABLE security_group_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    security_group_id TEXT COLLATE "C" NOT NULL,
    remote_group_id TEXT COLLATE "C",
    remote_address_group_id TEXT COLLATE "C",
    protocol TEXT COLLATE "C",
    port_range_min BIGINT,
    port_range_max BIGINT,
    ethertype TEXT COLLATE "C" NOT NULL,
    remote_ip_prefix TEXT COLLATE "C",
    description TEXT COLLATE "C" NOT NULL,
    equality TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX security_group_rules_by_project_id ON security_group_rules (project_id, id);
CREATE INDEX security_group_rules_by_remote_group_id ON security_group_rules (remote_group_id, id);
CREATE INDEX security_group_rules_by_remote_address_group_id ON security_group_rules (remote_address_group_id, id);
CREATE UNIQUE INDEX security_group_rules_unique ON security_group_rules (security_group_id, equality);

CREATE TABLE default_security_group_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    ethertype TEXT COLLATE "C" NOT NULL,
    protocol TEXT COLLATE "C",
    port_range_min BIGINT,
    port_range_max BIGINT,
    remote_ip_prefix TEXT COLLATE "C",
    remote_group_id TEXT COLLATE "C",
    remote_address_group_id TEXT COLLATE "C",
    description TEXT COLLATE "C" NOT NULL,
    used_in_default_sg BOOLEAN NOT NULL,
    used_in_non_default_sg BOOLEAN NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

INSERT INTO default_security_group_rules (id, project_id, direction, ethertype, protocol, port_range_min, port_range_max,
    remote_ip_prefix, remote_group_id, remote_address_group_id, description, used_in_default_sg, used_in_non_default_sg,
    revision_number, created_at, updated_at) VALUES
    ('5e0a0000-0000-4000-8000-000000000001', '', 'egress', 'IPv4', NULL, NULL, NULL, NULL, NULL, NULL, 'Legacy default SG rule for egress traffic', TRUE, TRUE, 0, TIMESTAMPTZ 'epoch', TIMESTAMPTZ 'epoch'),
    ('5e0a0000-0000-4000-8000-000000000002', '', 'egress', 'IPv6', NULL, NULL, NULL, NULL, NULL, NULL, 'Legacy default SG rule for egress traffic', TRUE, TRUE, 0, TIMESTAMPTZ 'epoch', TIMESTAMPTZ 'epoch'),
    ('5e0a0000-0000-4000-8000-000000000003', '', 'ingress', 'IPv4', NULL, NULL, NULL, NULL, 'PARENT', NULL, 'Legacy default SG rule for ingress traffic', TRUE, FALSE, 0, TIMESTAMPTZ 'epoch', TIMESTAMPTZ 'epoch'),
    ('5e0a0000-0000-4000-8000-000000000004', '', 'ingress', 'IPv6', NULL, NULL, NULL, NULL, 'PARENT', NULL, 'Legacy default SG rule for ingress traffic', TRUE, FALSE, 0, TIMESTAMPTZ 'epoch', TIMESTAMPTZ 'epoch');

CREATE TABLE address_groups (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    addresses JSONB NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX address_groups_by_project_id ON address_groups (project_id, id);
CREATE INDEX address_groups_by_name ON address_groups (name, id);

CREATE TABLE routers (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    distributed BOOLEAN,
    ha BOOLEAN,
    flavor_id TEXT COLLATE "C",
    availability_zone_hints JSONB NOT NULL,
    routes JSONB NOT NULL,
    gateway_network_id TEXT COLLATE "C",
    gateway_port_id TEXT COLLATE "C",
    enable_snat BOOLEAN NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX routers_by_project_id ON routers (project_id, id);
CREATE INDEX routers_by_name ON routers (name, id);
CREATE INDEX routers_by_gateway_network_id ON routers (gateway_network_id, id);

CREATE TABLE floating_ips (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    floating_network_id TEXT COLLATE "C" NOT NULL,
    floating_ip_address TEXT COLLATE "C",
    port_id TEXT COLLATE "C",
    fixed_ip_address TEXT COLLATE "C",
    router_id TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    qos_policy_id TEXT COLLATE "C",
    dns_name TEXT COLLATE "C" NOT NULL,
    dns_domain TEXT COLLATE "C" NOT NULL,
    floating_port_id TEXT COLLATE "C",
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX floating_ips_by_project_id ON floating_ips (project_id, id);
CREATE INDEX floating_ips_by_floating_network_id ON floating_ips (floating_network_id, id);
CREATE INDEX floating_ips_by_floating_ip_address ON floating_ips (floating_ip_address, id);
CREATE INDEX floating_ips_by_port_id ON floating_ips (port_id, id);
CREATE INDEX floating_ips_by_router_id ON floating_ips (router_id, id);
CREATE INDEX floating_ips_by_qos_policy_id ON floating_ips (qos_policy_id, id);

CREATE TABLE port_forwardings (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    floatingip_id TEXT COLLATE "C" NOT NULL,
    protocol TEXT COLLATE "C" NOT NULL,
    internal_port_id TEXT COLLATE "C" NOT NULL,
    internal_ip_address TEXT COLLATE "C" NOT NULL,
    internal_port BIGINT,
    external_port BIGINT,
    description TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX port_forwardings_by_internal_port_id ON port_forwardings (internal_port_id, id);
CREATE UNIQUE INDEX port_forwardings_unique ON port_forwardings (floatingip_id, protocol, external_port);

-- What is shared with whom; * is everybody.
CREATE TABLE network_rbac (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    object_type TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    target_project TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX network_rbac_by_project_id ON network_rbac (project_id, id);
CREATE UNIQUE INDEX network_rbac_unique ON network_rbac (object_id, target_project, action);
CREATE INDEX network_rbac_by_target ON network_rbac (object_type, target_project, action, object_id);

CREATE TABLE trunks (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    admin_state_up BOOLEAN NOT NULL,
    port_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX trunks_by_project_id ON trunks (project_id, id);
CREATE INDEX trunks_by_name ON trunks (name, id);
CREATE UNIQUE INDEX trunks_unique ON trunks (port_id);

CREATE TABLE trunk_subports (
    port_id           TEXT COLLATE "C" PRIMARY KEY,
    trunk_id          TEXT COLLATE "C" NOT NULL,
    segmentation_type TEXT COLLATE "C" NOT NULL,
    segmentation_id   BIGINT NOT NULL
);
CREATE UNIQUE INDEX trunk_subports_unique ON trunk_subports (trunk_id, segmentation_type, segmentation_id);

CREATE TABLE qos_policies (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    is_default BOOLEAN NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX qos_policies_by_project_id ON qos_policies (project_id, id);
CREATE INDEX qos_policies_by_name ON qos_policies (name, id);

CREATE TABLE qos_bandwidth_limit_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    max_kbps BIGINT NOT NULL,
    max_burst_kbps BIGINT NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX qos_bandwidth_limit_rules_by_policy_id ON qos_bandwidth_limit_rules (policy_id, id);

CREATE TABLE qos_dscp_marking_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    dscp_mark BIGINT NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX qos_dscp_marking_rules_by_policy_id ON qos_dscp_marking_rules (policy_id, id);

CREATE TABLE qos_minimum_bandwidth_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    min_kbps BIGINT NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX qos_minimum_bandwidth_rules_by_policy_id ON qos_minimum_bandwidth_rules (policy_id, id);

CREATE TABLE qos_packet_rate_limit_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    max_kpps BIGINT NOT NULL,
    max_burst_kpps BIGINT NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX qos_packet_rate_limit_rules_by_policy_id ON qos_packet_rate_limit_rules (policy_id, id);

CREATE TABLE qos_minimum_packet_rate_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    min_kpps BIGINT NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX qos_minimum_packet_rate_rules_by_policy_id ON qos_minimum_packet_rate_rules (policy_id, id);

CREATE TABLE metering_labels (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX metering_labels_by_project_id ON metering_labels (project_id, id);
CREATE INDEX metering_labels_by_name ON metering_labels (name, id);

CREATE TABLE metering_label_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL,
    metering_label_id TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    excluded BOOLEAN NOT NULL,
    remote_ip_prefix TEXT COLLATE "C",
    source_ip_prefix TEXT COLLATE "C",
    destination_ip_prefix TEXT COLLATE "C",
    revision_number BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX metering_label_rules_by_project_id ON metering_label_rules (project_id, id);
CREATE INDEX metering_label_rules_by_metering_label_id ON metering_label_rules (metering_label_id, id);

-- Words that things can be found by.
CREATE TABLE network_tags (
    resource_id TEXT COLLATE "C" NOT NULL,
    tag         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (resource_id, tag)
);
CREATE INDEX network_tags_by_tag ON network_tags (tag, resource_id);

-- The limits that administrators have set.
CREATE TABLE network_quotas (
    project_id TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);

-- What was said of agents.
CREATE TABLE network_agents (
    id             TEXT COLLATE "C" PRIMARY KEY,
    admin_state_up BOOLEAN NOT NULL,
    description    TEXT COLLATE "C"
);

-- What was taken from an agent, or given to it.
CREATE TABLE network_agent_exceptions (
    kind      TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, object_id)
);

CREATE TABLE auto_allocated_topologies (
    project_id TEXT COLLATE "C" PRIMARY KEY,
    network_id TEXT COLLATE "C" NOT NULL,
    router_id  TEXT COLLATE "C" NOT NULL
);
