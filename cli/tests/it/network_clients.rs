//! The real clients, and networks: what `openstack network`, `subnet`, `port`, `router`, `floating ip`, `security group` and
//! their like say, and what the SDK makes of it.
//!
//! Left out, because Networking does not announce the extension that they stand on: `local ip`, `network flavor`,
//! `network l3 conntrack helper`, `network segment` and `network segment range`, `router ndp proxy`, `router add gateway`
//! and `router remove gateway` (several gateways; `router set --external-gateway` is here), `network agent router set`,
//! `security group default statefulness`, and those of plugins (`bgp`, `tap`).

use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings},
    openstackclient::OpenStack,
};

/// The values of a column, in order.
fn column(list: &Value, name: &str) -> Vec<String> {
    let mut values: Vec<String> =
        list.as_array().unwrap().iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect();
    values.sort();
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_and_what_is_on_them_are_made_shown_changed_and_deleted_by_openstackclient() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let openstack = OpenStack::of(&cloud).await;
    // What every cloud has.
    let networks = openstack.json(&["network", "list"]).await;
    assert_eq!(column(&networks, "Name"), ["private", "public"]);
    assert_eq!(column(&openstack.json(&["network", "list", "--external"]).await, "Name"), ["public"]);
    assert_eq!(column(&openstack.json(&["network", "list", "--share"]).await, "Name"), ["private"]);

    let network = openstack.json(&["network", "create", "--tag", "ci", "--mtu", "1400", "net"]).await;
    assert_eq!((&network["mtu"], &network["tags"]), (&json!(1400), &json!(["ci"])), "{network}");
    openstack.print(&["network", "set", "--description", "d", "--tag", "more", "net"]).await;
    let shown = openstack.json(&["network", "show", "net"]).await;
    assert_eq!((&shown["description"], &shown["tags"]), (&json!("d"), &json!(["ci", "more"])));
    assert_eq!(column(&openstack.json(&["network", "list", "--tags", "ci,more"]).await, "Name"), ["net"]);

    let create = [
        "subnet",
        "create",
        "--network",
        "net",
        "--subnet-range",
        "10.5.0.0/24",
        "--dns-nameserver",
        "1.1.1.1",
        "--host-route",
        "destination=10.6.0.0/16,gateway=10.5.0.9",
        "sub",
    ];
    let subnet = openstack.json(&create).await;
    assert_eq!((&subnet["gateway_ip"], &subnet["dns_nameservers"]), (&json!("10.5.0.1"), &json!(["1.1.1.1"])));
    openstack.print(&["subnet", "set", "--no-dhcp", "--dns-nameserver", "9.9.9.9", "sub"]).await;
    let shown = openstack.json(&["subnet", "show", "sub"]).await;
    assert_eq!((&shown["enable_dhcp"], &shown["dns_nameservers"]), (&json!(false), &json!(["9.9.9.9", "1.1.1.1"])));
    assert_eq!(column(&openstack.json(&["subnet", "list", "--network", "net"]).await, "Name"), ["sub"]);

    openstack.json(&["security", "group", "create", "--description", "d", "web"]).await;
    let rule = ["security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "80:443", "web"];
    openstack.json(&rule).await;
    let said = openstack.failing(&rule).await;
    assert!(said.contains("Security group rule already exists. Rule id is "), "{said}");
    assert_eq!(openstack.json(&["security", "group", "rule", "list", "web"]).await.as_array().unwrap().len(), 3);
    openstack.print(&["security", "group", "set", "--name", "www", "web"]).await;

    let create = [
        "port",
        "create",
        "--network",
        "net",
        "--fixed-ip",
        "subnet=sub,ip-address=10.5.0.50",
        "--security-group",
        "www",
        "--allowed-address",
        "ip-address=10.7.0.0/24",
        "--tag",
        "p",
        "port",
    ];
    let port = openstack.json(&create).await;
    assert_eq!(port["fixed_ips"][0]["ip_address"], "10.5.0.50", "{port}");
    assert_eq!(port["tags"], json!(["p"]));
    openstack.print(&["port", "set", "--name", "p0rt", "--fixed-ip", "subnet=sub", "port"]).await;
    let listed = openstack.json(&["port", "list", "--network", "net", "--long"]).await;
    assert_eq!(listed[0]["Fixed IP Addresses"].as_array().unwrap().len(), 2, "{listed}");
    let found = openstack.json(&["port", "list", "--fixed-ip", "ip-address=10.5.0.50"]).await;
    assert_eq!(column(&found, "Name"), ["p0rt"]);
    openstack.print(&["port", "unset", "--fixed-ip", "subnet=sub,ip-address=10.5.0.50", "p0rt"]).await;
    openstack
        .print(&["port", "set", "--no-security-group", "--disable-port-security", "--no-allowed-address", "p0rt"])
        .await;

    let said = openstack.failing(&["network", "delete", "net"]).await;
    assert!(said.contains("There are one or more ports still in use on the network"), "{said}");
    openstack.print(&["port", "delete", "p0rt"]).await;
    openstack.print(&["subnet", "delete", "sub"]).await;
    openstack.print(&["network", "delete", "net"]).await;
    openstack.print(&["security", "group", "delete", "www"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_and_addresses_outside_are_led_by_openstackclient() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let openstack = OpenStack::of(&cloud).await;
    openstack.json(&["network", "create", "net"]).await;
    openstack.json(&["subnet", "create", "--network", "net", "--subnet-range", "10.5.0.0/24", "sub"]).await;
    openstack.json(&["router", "create", "--external-gateway", "public", "r"]).await;
    openstack.print(&["router", "add", "subnet", "r", "sub"]).await;
    let shown = openstack.json(&["router", "show", "r"]).await;
    assert_eq!(shown["interfaces_info"][0]["ip_address"], "10.5.0.1", "{shown}");
    assert!(
        shown["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
            .as_str()
            .unwrap()
            .starts_with("172.24.4.")
    );
    openstack.print(&["router", "set", "--route", "destination=10.9.0.0/16,gateway=10.5.0.9", "r"]).await;
    openstack.print(&["router", "unset", "--route", "destination=10.9.0.0/16,gateway=10.5.0.9", "r"]).await;
    assert_eq!(column(&openstack.json(&["router", "list", "--long"]).await, "Name"), ["r", "router"]);

    openstack.json(&["port", "create", "--network", "net", "vm"]).await;
    let floating = openstack.json(&["floating", "ip", "create", "--port", "vm", "--description", "d", "public"]).await;
    let address = floating["floating_ip_address"].as_str().unwrap();
    let shown = openstack.json(&["floating", "ip", "show", address]).await;
    assert_eq!((&shown["status"], &shown["port_details"]["name"]), (&json!("ACTIVE"), &json!("vm")), "{shown}");
    openstack.print(&["floating", "ip", "unset", "--port", address]).await;
    let forwarding = [
        "floating",
        "ip",
        "port",
        "forwarding",
        "create",
        "--internal-ip-address",
        shown["fixed_ip_address"].as_str().unwrap(),
        "--port",
        "vm",
        "--internal-protocol-port",
        "80",
        "--external-protocol-port",
        "8080",
        "--protocol",
        "tcp",
        address,
    ];
    let forwarding = openstack.json(&forwarding).await;
    let listed = openstack.json(&["floating", "ip", "port", "forwarding", "list", address]).await;
    assert_eq!(listed[0]["External Port"], 8080, "{listed}");
    let one = forwarding["id"].as_str().unwrap();
    openstack.print(&["floating", "ip", "port", "forwarding", "delete", address, one]).await;
    openstack.print(&["floating", "ip", "set", "--port", "vm", address]).await;
    openstack.print(&["floating", "ip", "delete", address]).await;

    openstack.print(&["router", "remove", "subnet", "r", "sub"]).await;
    openstack.print(&["router", "unset", "--external-gateway", "r"]).await;
    openstack.print(&["router", "delete", "r"]).await;
    openstack.print(&["port", "delete", "vm"]).await;
    openstack.print(&["network", "delete", "net"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_after_networking_with_openstackclient() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let openstack = OpenStack::of(&cloud).await;
    openstack.json(&["address", "scope", "create", "--ip-version", "4", "scope"]).await;
    let pool = [
        "subnet",
        "pool",
        "create",
        "--pool-prefix",
        "10.20.0.0/16",
        "--default-prefix-length",
        "24",
        "--address-scope",
        "scope",
        "pool",
    ];
    let pool = openstack.json(&pool).await;
    assert_eq!(pool["default_prefixlen"], 24, "{pool}");
    openstack.json(&["network", "create", "net"]).await;
    let cut = openstack.json(&["subnet", "create", "--network", "net", "--subnet-pool", "pool", "cut"]).await;
    assert_eq!(cut["cidr"], "10.20.0.0/24", "{cut}");
    let availability = openstack.json(&["ip", "availability", "show", "net"]).await;
    assert_eq!((&availability["total_ips"], &availability["used_ips"]), (&json!(253), &json!(0)), "{availability}");
    assert!(!openstack.json(&["ip", "availability", "list"]).await.as_array().unwrap().is_empty());

    openstack.json(&["address", "group", "create", "--address", "10.0.0.0/24", "ag"]).await;
    openstack.print(&["address", "group", "set", "--address", "10.0.1.0/24", "ag"]).await;
    assert_eq!(openstack.json(&["address", "group", "show", "ag"]).await["addresses"].as_array().unwrap().len(), 2);
    let share = [
        "network",
        "rbac",
        "create",
        "--type",
        "network",
        "--action",
        "access_as_shared",
        "--target-project",
        "demo",
        "net",
    ];
    let rbac = openstack.json(&share).await;
    let rbac = rbac["id"].as_str().unwrap();
    assert_eq!(openstack.json(&["network", "rbac", "show", rbac]).await["object_type"], "network");
    openstack.print(&["network", "rbac", "delete", rbac]).await;

    openstack.json(&["network", "qos", "policy", "create", "--share", "gold"]).await;
    let rule =
        ["network", "qos", "rule", "create", "--type", "bandwidth-limit", "--max-kbps", "1000", "--egress", "gold"];
    openstack.json(&rule).await;
    assert_eq!(openstack.json(&["network", "qos", "rule", "list", "gold"]).await[0]["Max Kbps"], 1000);
    openstack.print(&["network", "set", "--qos-policy", "gold", "net"]).await;
    openstack.print(&["network", "unset", "--tag", "x", "net"]).await;
    openstack.print(&["network", "set", "--no-qos-policy", "net"]).await;

    openstack.json(&["port", "create", "--network", "net", "parent"]).await;
    openstack.json(&["port", "create", "--network", "net", "child"]).await;
    let trunk = [
        "network",
        "trunk",
        "create",
        "--parent-port",
        "parent",
        "--subport",
        "port=child,segmentation-type=vlan,segmentation-id=5",
        "trunk",
    ];
    openstack.json(&trunk).await;
    assert_eq!(openstack.json(&["network", "subport", "list", "--trunk", "trunk"]).await[0]["Segmentation ID"], 5);
    openstack.print(&["network", "trunk", "unset", "--subport", "child", "trunk"]).await;
    openstack.print(&["network", "trunk", "delete", "trunk"]).await;

    let agents = openstack.json(&["network", "agent", "list"]).await;
    assert_eq!(column(&agents, "Agent Type"), ["DHCP agent", "L3 agent"]);
    let agent = agents[0]["ID"].as_str().unwrap();
    openstack.print(&["network", "agent", "set", "--description", "d", agent]).await;
    assert_eq!(openstack.json(&["network", "agent", "show", agent]).await["description"], "d");
    let zones = openstack.json(&["availability", "zone", "list", "--network"]).await;
    assert_eq!(column(&zones, "Zone Name"), ["nova", "nova"]);
    assert!(!openstack.json(&["network", "service", "provider", "list"]).await.as_array().unwrap().is_empty());
    assert!(openstack.json(&["extension", "list", "--network"]).await.as_array().unwrap().len() > 50);
    openstack.json(&["network", "meter", "create", "meter"]).await;
    openstack.print(&["network", "meter", "delete", "meter"]).await;
    assert_eq!(openstack.json(&["default", "security", "group", "rule", "list"]).await.as_array().unwrap().len(), 4);

    openstack.print(&["quota", "set", "--networks", "7", "admin"]).await;
    let quota = openstack.json(&["quota", "show", "--network", "--usage", "admin"]).await;
    let networks = quota.as_array().unwrap().iter().find(|row| row["Resource"] == "networks").unwrap();
    // The external network is no project's own.
    assert_eq!((&networks["Limit"], &networks["In Use"]), (&json!(7), &json!(2)), "{quota}");
    let said = openstack.failing(&["quota", "set", "--check-limit", "--networks", "1", "admin"]).await;
    assert!(said.contains("must be greater than or equal to already used 2"), "{said}");
    openstack.print(&["quota", "delete", "--network", "admin"]).await;
}

/// What the walks above have not come by.
#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_networking_is_led_by_openstackclient() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let openstack = OpenStack::of(&cloud).await;
    let (json, print) = (async |a: &[&str]| openstack.json(a).await, async |a: &[&str]| openstack.print(a).await);
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();

    // Address scopes, address groups and pools.
    json(&["address", "scope", "create", "scope"]).await;
    print(&["address", "scope", "set", "--name", "scope2", "scope"]).await;
    assert_eq!(json(&["address", "scope", "show", "scope2"]).await["ip_version"], 4);
    assert_eq!(column(&json(&["address", "scope", "list"]).await, "Name"), ["scope2"]);
    json(&["address", "group", "create", "--address", "10.0.0.0/24", "--address", "10.0.1.0/24", "ag"]).await;
    print(&["address", "group", "unset", "--address", "10.0.1.0/24", "ag"]).await;
    assert_eq!(json(&["address", "group", "list"]).await[0]["Addresses"], json!(["10.0.0.0/24"]));
    json(&["subnet", "pool", "create", "--pool-prefix", "10.20.0.0/16", "--tag", "t", "pool"]).await;
    print(&["subnet", "pool", "set", "--pool-prefix", "10.21.0.0/16", "--default-prefix-length", "26", "pool"]).await;
    print(&["subnet", "pool", "unset", "--tag", "t", "pool"]).await;
    let pool = json(&["subnet", "pool", "show", "pool"]).await;
    // Neighbours become one.
    assert_eq!((&pool["prefixes"], &pool["tags"]), (&json!(["10.20.0.0/15"]), &json!([])), "{pool}");
    assert_eq!(column(&json(&["subnet", "pool", "list"]).await, "Name"), ["pool"]);
    json(&["network", "create", "onboarded"]).await;
    json(&["subnet", "create", "--network", "onboarded", "--subnet-range", "10.30.0.0/24", "old"]).await;
    print(&["network", "onboard", "subnet", "onboarded", "pool"]).await;
    assert_eq!(json(&["subnet", "show", "old"]).await["subnetpool_id"], pool["id"]);
    print(&["subnet", "set", "--dns-nameserver", "1.1.1.1", "--tag", "t", "old"]).await;
    print(&["subnet", "unset", "--dns-nameserver", "1.1.1.1", "--tag", "t", "--gateway", "old"]).await;
    let subnet = json(&["subnet", "show", "old"]).await;
    assert_eq!((&subnet["dns_nameservers"], &subnet["gateway_ip"]), (&json!([]), &Value::Null), "{subnet}");

    // Routers by ports and with routes.
    json(&["router", "create", "r"]).await;
    json(&["port", "create", "--network", "onboarded", "leg"]).await;
    print(&["router", "add", "port", "r", "leg"]).await;
    assert_eq!(json(&["port", "show", "leg"]).await["device_owner"], "network:router_interface");
    let route = "destination=10.9.0.0/16,gateway=10.30.0.9";
    json(&["router", "add", "route", "--route", route, "r"]).await;
    assert_eq!(json(&["router", "show", "r"]).await["routes"][0]["nexthop"], "10.30.0.9");
    json(&["router", "remove", "route", "--route", route, "r"]).await;

    // Port forwardings and security groups.
    json(&["network", "create", "net"]).await;
    json(&["subnet", "create", "--network", "net", "--subnet-range", "10.31.0.0/24", "sub"]).await;
    print(&["router", "set", "--external-gateway", "public", "r"]).await;
    print(&["router", "add", "subnet", "r", "sub"]).await;
    let vm = json(&["port", "create", "--network", "net", "vm"]).await;
    let inside = vm["fixed_ips"][0]["ip_address"].as_str().unwrap();
    let floating = json(&["floating", "ip", "create", "public"]).await;
    let address = floating["floating_ip_address"].as_str().unwrap();
    assert_eq!(json(&["floating", "ip", "list"]).await[0]["Floating IP Address"], address);
    let forwarding = ["floating", "ip", "port", "forwarding"];
    let to = ["--internal-ip-address", inside, "--port", "vm", "--internal-protocol-port", "80"];
    let from = ["--external-protocol-port", "8080", "--protocol", "tcp", address];
    let made = id(&json(&[&forwarding[..], &["create"], &to, &from].concat()).await);
    print(&[&forwarding[..], &["set", "--external-protocol-port", "8081", address, &made]].concat()).await;
    assert_eq!(json(&[&forwarding[..], &["show", address, &made]].concat()).await["external_port"], 8081);
    print(&[&forwarding[..], &["delete", address, &made]].concat()).await;
    json(&["security", "group", "create", "--tag", "t", "web"]).await;
    print(&["security", "group", "unset", "--tag", "t", "web"]).await;
    let shown = json(&["security", "group", "show", "web"]).await;
    assert_eq!((&shown["tags"], shown["rules"].as_array().unwrap().len()), (&json!([]), 2), "{shown}");
    assert_eq!(column(&json(&["security", "group", "list", "--project", "admin"]).await, "Name"), ["default", "web"]);
    let rule = id(&json(&["security", "group", "rule", "create", "--protocol", "icmp", "web"]).await);
    assert_eq!(json(&["security", "group", "rule", "show", &rule]).await["protocol"], "icmp");
    print(&["security", "group", "rule", "delete", &rule]).await;
    let rule = ["default", "security", "group", "rule", "create", "--protocol", "udp", "--for-custom-sg"];
    let rule = id(&json(&rule).await);
    let shown = json(&["default", "security", "group", "rule", "show", &rule]).await;
    assert_eq!((&shown["protocol"], &shown["used_in_non_default_sg"]), (&json!("udp"), &json!(true)), "{shown}");
    print(&["default", "security", "group", "rule", "delete", &rule]).await;

    // Quality of service, metering, sharing.
    json(&["network", "qos", "policy", "create", "gold"]).await;
    print(&["network", "qos", "policy", "set", "--description", "d", "--share", "gold"]).await;
    assert_eq!(json(&["network", "qos", "policy", "show", "gold"]).await["shared"], true);
    assert_eq!(column(&json(&["network", "qos", "policy", "list"]).await, "Name"), ["gold"]);
    let rule = ["network", "qos", "rule", "create", "--type", "dscp-marking", "--dscp-mark", "8", "gold"];
    let rule = id(&json(&rule).await);
    print(&["network", "qos", "rule", "set", "--dscp-mark", "10", "gold", &rule]).await;
    assert_eq!(json(&["network", "qos", "rule", "show", "gold", &rule]).await["dscp_mark"], 10);
    print(&["network", "qos", "rule", "delete", "gold", &rule]).await;
    let types = json(&["network", "qos", "rule", "type", "list"]).await;
    assert!(column(&types, "Type").contains(&"bandwidth_limit".to_owned()), "{types}");
    assert_eq!(
        json(&["network", "qos", "rule", "type", "show", "dscp_marking"]).await["rule_type_name"],
        "dscp_marking"
    );
    print(&["network", "qos", "policy", "delete", "gold"]).await;
    json(&["network", "meter", "create", "meter"]).await;
    let rule = ["network", "meter", "rule", "create", "--remote-ip-prefix", "10.0.0.0/8", "meter"];
    let rule = id(&json(&rule).await);
    assert_eq!(json(&["network", "meter", "rule", "show", &rule]).await["direction"], "ingress");
    assert_eq!(json(&["network", "meter", "rule", "list"]).await.as_array().unwrap().len(), 1);
    assert_eq!(json(&["network", "meter", "show", "meter"]).await["name"], "meter");
    assert_eq!(column(&json(&["network", "meter", "list"]).await, "Name"), ["meter"]);
    print(&["network", "meter", "rule", "delete", &rule]).await;
    let share = ["network", "rbac", "create", "--type", "network", "--action", "access_as_shared"];
    let shared = id(&json(&[&share[..], &["--target-project", "demo", "net"]].concat()).await);
    print(&["network", "rbac", "set", "--target-project", "admin", &shared]).await;
    let listed = json(&["network", "rbac", "list", "--type", "network"]).await;
    assert!(column(&listed, "ID").contains(&shared), "{listed}");

    // Trunks, agents, and what is made by itself.
    for port in ["parent", "child"] {
        json(&["port", "create", "--network", "net", port]).await;
    }
    json(&["network", "trunk", "create", "--parent-port", "parent", "trunk"]).await;
    print(&["network", "trunk", "set", "--description", "d", "trunk"]).await;
    let child = ["--segmentation-type", "vlan", "--segmentation-id", "7", "trunk", "child"];
    print(&[&["network", "trunk", "subport", "add"], &child[..]].concat()).await;
    assert_eq!(json(&["network", "trunk", "subport", "list", "trunk"]).await[0]["Segmentation ID"], 7);
    print(&["network", "trunk", "subport", "remove", "trunk", "child"]).await;
    assert_eq!(json(&["network", "trunk", "show", "trunk"]).await["description"], "d");
    assert_eq!(column(&json(&["network", "trunk", "list"]).await, "Name"), ["trunk"]);
    let agents = json(&["network", "agent", "list"]).await;
    for (kind, what, of) in [("DHCP agent", "network", "net"), ("L3 agent", "router", "r")] {
        let agent = agents.as_array().unwrap().iter().find(|agent| agent["Agent Type"] == kind).unwrap();
        let (agent, flag) = (agent["ID"].as_str().unwrap(), if what == "network" { "--dhcp" } else { "--l3" });
        print(&["network", "agent", "remove", what, flag, agent, of]).await;
        print(&["network", "agent", "add", what, flag, agent, of]).await;
        let listed = json(&[what, "list", "--agent", agent]).await;
        assert!(column(&listed, "Name").contains(&of.to_owned()), "{kind}: {listed}");
    }
    let auto = ["network", "auto", "allocated", "topology"];
    let said = openstack.failing(&[&auto[..], &["create", "--or-show"]].concat()).await;
    assert!(said.contains("No default subnetpools defined"), "{said}");
    let shared = ["--default-prefix-length", "26", "--default", "--share", "auto"];
    json(&[&["subnet", "pool", "create", "--pool-prefix", "10.40.0.0/16"], &shared[..]].concat()).await;
    let made = json(&[&auto[..], &["create", "--or-show"]].concat()).await;
    assert_eq!(json(&["network", "show", &id(&made)]).await["name"], "auto_allocated_network");
    print(&[&auto[..], &["delete"]].concat()).await;
    print(&["subnet", "pool", "delete", "auto"]).await;
    print(&["address", "scope", "delete", "scope2"]).await;
    print(&["address", "group", "delete", "ag"]).await;
}

/// What programs do beside making and deleting: stale changes, pages, orders, and the SDK's layer that Ansible stands on.
const LIFE: &str = "
import openstack
cloud = openstack.connect()
n = cloud.network
net = n.create_network(name='net')
n.set_tags(net, ['a', 'b'])
assert sorted(n.get_network(net.id).tags) == ['a', 'b']
sub = n.create_subnet(network_id=net.id, ip_version=4, cidr='10.5.0.0/24', name='sub')
public = n.find_network('public')
router = n.create_router(name='r', external_gateway_info={'network_id': public.id})
interface = n.add_interface_to_router(router, subnet_id=sub.id)
assert n.get_port(interface['port_id']).status in ('ACTIVE', 'DOWN')
group = n.create_security_group(name='g')
for rule in list(n.security_group_rules(security_group_id=group.id)):
    n.delete_security_group_rule(rule)
rule = n.create_security_group_rule(security_group_id=group.id, direction='ingress', ether_type='IPv4', protocol='tcp',
                                    port_range_min=22, port_range_max=22, remote_ip_prefix='0.0.0.0/0')
assert n.get_security_group_rule(rule.id).protocol == 'tcp'
port = n.create_port(network_id=net.id, security_group_ids=[group.id], name='port', tags=['t'])
assert port.tags == ['t'] and port.fixed_ips[0]['subnet_id'] == sub.id
address = n.create_ip(floating_network_id=public.id, port_id=port.id)
assert n.get_ip(address.id).status == 'ACTIVE'
# Nothing has drifted.
for find, thing in [(n.get_network, net), (n.get_subnet, sub), (n.get_port, port), (n.get_security_group, group)]:
    again = find(thing.id)
    assert again.name == thing.name and again.revision_number == find(thing.id).revision_number
port = n.update_port(port, fixed_ips=[{'subnet_id': sub.id, 'ip_address': '10.5.0.77'}])
assert port.fixed_ips[0]['ip_address'] == '10.5.0.77'
n.update_subnet(sub, dns_nameservers=['1.1.1.1'])
try:
    n.update_network(n.get_network(net.id), if_revision=1, name='stale')
    raise SystemExit('what is stale was taken')
except openstack.exceptions.HttpException as refused:
    assert refused.status_code == 412, refused
try:
    n.delete_network(net)
    raise SystemExit('a network in use was deleted')
except openstack.exceptions.ConflictException as refused:
    assert 'There are one or more ports still in use' in str(refused)
# Lists by pages, and in any order.
nets = [n.create_network(name=f'many-{i}') for i in range(5)]
assert len(list(n.networks(limit=2))) == 8
assert [one.name for one in n.networks(sort_key='name', sort_dir='desc')][0] == 'public'
assert len(list(n.networks(is_router_external=True))) == 1
for one in nets:
    n.delete_network(one)
# The cloud layer, which Ansible stands on.
assert cloud.get_external_networks()[0].name == 'public'
assert cloud.get_network('net').id == net.id and cloud.get_subnet('sub').id == sub.id
n.delete_ip(address)
n.delete_port(port)
n.remove_interface_from_router(router, subnet_id=sub.id)
n.delete_router(router)
n.delete_security_group(group)
n.delete_subnet(sub)
n.delete_network(net)
assert n.find_network('net') is None
assert [g.name for g in n.security_groups(project_id=cloud.current_project_id)] == ['default']
";

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_leads_a_topology_from_its_making_to_its_end() {
    let cloud = Cloud::embedded(Settings::default()).await;
    OpenStack::of(&cloud).await.script(LIFE).await;
}
