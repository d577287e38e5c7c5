//! The real client where Compute and Networking meet: servers made on networks, ports and with security groups; what is
//! added to them and removed; and how they show their addresses. By somebody who is no administrator.
//!
//! Of `openstack server` the other commands are in `clients.rs`; `network_clients.rs` has those of Networking alone.

use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings},
    openstackclient::OpenStack,
};

/// `server create` with what every server here has; `more` ends with its name.
async fn create(openstack: &OpenStack, more: &[&str]) -> Value {
    openstack.json(&[&["server", "create", "--flavor", "m1.tiny", "--image", "cirros", "--wait"], more].concat()).await
}

async fn refused(openstack: &OpenStack, more: &[&str]) -> String {
    openstack.failing(&[&["server", "create", "--flavor", "m1.tiny", "--image", "cirros"], more].concat()).await
}

/// By network, as `server show` has them.
async fn addresses(openstack: &OpenStack, server: &str) -> Value {
    openstack.json(&["server", "show", server]).await["addresses"].clone()
}

/// The names of the security groups, of all its ports together.
async fn groups(openstack: &OpenStack, server: &str) -> Vec<String> {
    let server = openstack.json(&["server", "show", server]).await;
    let mut names: Vec<String> = server["security_groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn names(list: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = list.as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Two networks, one behind a router, a security group and a port with an address that is known.
async fn topology(demo: &OpenStack) {
    for (network, subnet, cidr) in [("net", "sub", "10.5.0.0/24"), ("other", "sub2", "10.6.0.0/24")] {
        demo.json(&["network", "create", network]).await;
        demo.json(&["subnet", "create", "--network", network, "--subnet-range", cidr, subnet]).await;
    }
    demo.json(&["router", "create", "--external-gateway", "public", "r"]).await;
    demo.print(&["router", "add", "subnet", "r", "sub"]).await;
    demo.json(&["security", "group", "create", "web"]).await;
    demo.json(&["port", "create", "--network", "net", "--fixed-ip", "subnet=sub,ip-address=10.5.0.50", "port"]).await;
}

async fn servers_are_made_on_networks_by_openstackclient(cloud: Cloud) {
    let demo = OpenStack::of(&cloud).await.as_demo();
    topology(&demo).await;

    let asked = "net-id=other,v4-fixed-ip=10.6.0.7";
    let server = create(
        &demo,
        &["--network", "net", "--port", "port", "--nic", asked, "--security-group", "web", "--property", "k=v", "s"],
    )
    .await;
    assert_eq!(server["status"], "ACTIVE", "{server}");
    let by_network = addresses(&demo, "s").await;
    // In the order in which they were asked for, network by network.
    let [first, second] = by_network["net"].as_array().unwrap().as_slice() else { panic!("{by_network}") };
    assert!(first.as_str().unwrap().starts_with("10.5.0.") && second == "10.5.0.50", "{by_network}");
    assert_eq!(by_network["other"], json!(["10.6.0.7"]), "{by_network}");
    // The port that was brought has the project's default group, the others have what was asked for.
    assert_eq!(groups(&demo, "s").await, ["default", "web"]);
    let port = demo.json(&["port", "show", "port"]).await;
    assert_eq!(
        (&port["device_id"], &port["device_owner"], &port["status"]),
        (&server["id"], &json!("compute:nova"), &json!("ACTIVE")),
        "{port}"
    );
    assert_eq!(demo.json(&["port", "list", "--server", "s"]).await.as_array().unwrap().len(), 3);
    let listed = demo.json(&["server", "list", "--long"]).await;
    assert_eq!((&listed[0]["Name"], &listed[0]["Networks"]), (&json!("s"), &by_network), "{listed}");
    let list = async |ip: &str| demo.json(&["server", "list", "--ip", ip]).await;
    assert_eq!(names(&list("10.6.0.7").await), ["s"]);
    assert!(names(&list("10.9").await).is_empty());

    // Refused, and nothing is left of it.
    let said = refused(&demo, &["--network", "nope", "t"]).await;
    assert!(said.contains("No Network found for nope"), "{said}");
    let said = refused(&demo, &["--network", "net", "--security-group", "nope", "t"]).await;
    assert!(said.contains("No SecurityGroup found for nope"), "{said}");
    let said = refused(&demo, &["--port", "port", "t"]).await;
    assert!(said.contains(&format!("Port {} is still in use", port["id"].as_str().unwrap())), "{said}");
    let said = refused(&demo, &["--nic", asked, "t"]).await;
    assert!(said.contains("Fixed IP address 10.6.0.7 is already in use on instance"), "{said}");
    let said = refused(&demo, &["--network", "public", "t"]).await;
    assert!(said.contains("It is not allowed to create an interface on external network"), "{said}");
    let said = refused(&demo, &["--auto-network", "t"]).await;
    assert!(said.contains("Multiple possible networks found, use a Network ID to be more specific"), "{said}");
    assert_eq!(names(&demo.json(&["server", "list"]).await), ["s"]);

    // Without any, and at one that all have.
    assert_eq!(create(&demo, &["--no-network", "none"]).await["addresses"], json!({}));
    let shared = create(&demo, &["--network", "private", "--min", "2", "--max", "2", "many"]).await;
    assert!(shared["name"].as_str().unwrap().starts_with("many-"), "{shared}");
    assert_eq!(names(&list("10.0.").await), ["many-1", "many-2"]);

    demo.print(&["server", "delete", "--wait", "s", "none", "many-1", "many-2"]).await;
    // What Compute made is gone, what was brought is as it was.
    let ports = demo.json(&["port", "list", "--device-owner", "compute:nova"]).await;
    assert_eq!(ports, json!([]));
    let port = demo.json(&["port", "show", "port"]).await;
    assert_eq!(
        (&port["device_id"], &port["device_owner"], &port["status"]),
        (&json!(""), &json!(""), &json!("DOWN")),
        "{port}"
    );
    cloud.assert_ports_add_up().await;
}

async fn interfaces_and_addresses_of_servers_are_changed_by_openstackclient(cloud: Cloud) {
    let admin = OpenStack::of(&cloud).await;
    let demo = admin.as_demo();
    topology(&demo).await;
    let server = create(&demo, &["--network", "net", "s"]).await;
    let first = addresses(&demo, "s").await["net"][0].as_str().unwrap().to_owned();

    demo.print(&["server", "add", "port", "s", "port"]).await;
    assert_eq!(addresses(&demo, "s").await["net"], json!([first, "10.5.0.50"]));
    demo.print(&["server", "add", "network", "--tag", "second", "s", "private"]).await;
    assert!(addresses(&demo, "s").await["private"][0].as_str().unwrap().starts_with("10.0."));
    let added = demo.json(&["server", "add", "fixed", "ip", "--fixed-ip-address", "10.6.0.9", "s", "other"]).await;
    assert_eq!(
        (&added["Fixed IPs"][0]["ip_address"], &added["Server ID"]),
        (&json!("10.6.0.9"), &server["id"]),
        "{added}"
    );
    assert_eq!(addresses(&demo, "s").await["other"], json!(["10.6.0.9"]));
    let said = demo.failing(&["server", "add", "port", "s", "port"]).await;
    assert!(said.contains("is still in use"), "{said}");

    // Outside: at the port that has that address. Without one the client takes the first port of a list that is in no order.
    let outside = async || {
        let floating = demo.json(&["floating", "ip", "create", "public"]).await;
        floating["floating_ip_address"].as_str().unwrap().to_owned()
    };
    let (one, two) = (outside().await, outside().await);
    demo.print(&["server", "add", "floating", "ip", "--fixed-ip-address", "10.5.0.50", "s", &one]).await;
    assert_eq!(addresses(&demo, "s").await["net"], json!([first, "10.5.0.50", one]));
    demo.print(&["server", "add", "floating", "ip", "--fixed-ip-address", &first, "s", &two]).await;
    let shown = addresses(&demo, "s").await.to_string();
    assert!(shown.contains(&two), "{shown}");
    let mapped = demo.json(&["floating", "ip", "show", &one]).await;
    assert_eq!((&mapped["fixed_ip_address"], &mapped["status"]), (&json!("10.5.0.50"), &json!("ACTIVE")), "{mapped}");
    demo.print(&["server", "remove", "floating", "ip", "s", &two]).await;
    demo.print(&["floating", "ip", "unset", "--port", &one]).await;
    assert_eq!(addresses(&demo, "s").await["net"], json!([first, "10.5.0.50"]));

    // Moved while it runs: its ports go with it.
    admin.print(&["server", "migrate", "--live-migration", "--wait", server["id"].as_str().unwrap()]).await;
    let moved = admin.json(&["server", "show", server["id"].as_str().unwrap()]).await;
    let port = admin.json(&["port", "list", "--server", server["id"].as_str().unwrap(), "--long"]).await;
    assert_eq!(port.as_array().unwrap().len(), 4, "{port}");
    for port in port.as_array().unwrap() {
        let port = admin.json(&["port", "show", port["ID"].as_str().unwrap()]).await;
        assert_eq!(
            (&port["binding_host_id"], &port["status"]),
            (&moved["OS-EXT-SRV-ATTR:host"], &json!("ACTIVE")),
            "{port}"
        );
    }

    // Each group is on all ports of the server.
    demo.print(&["server", "add", "security", "group", "s", "web"]).await;
    assert_eq!(groups(&demo, "s").await, ["default", "web"]);
    for port in demo.json(&["port", "list", "--server", "s"]).await.as_array().unwrap() {
        let port = demo.json(&["port", "show", port["ID"].as_str().unwrap()]).await;
        assert_eq!(port["security_group_ids"].as_array().unwrap().len(), 2, "{port}");
    }
    let said = demo.failing(&["security", "group", "delete", "web"]).await;
    assert!(said.contains("in use"), "{said}");
    demo.print(&["server", "remove", "security", "group", "s", "web"]).await;
    assert_eq!(groups(&demo, "s").await, ["default"]);
    let said = demo.failing(&["server", "remove", "security", "group", "s", "web"]).await;
    assert!(said.contains("not associated with the instance"), "{said}");
    let said = demo.failing(&["server", "add", "security", "group", "s", "nope"]).await;
    assert!(said.contains("Security group nope is not found for project"), "{said}");

    demo.print(&["server", "remove", "port", "s", "port"]).await;
    assert_eq!(demo.json(&["port", "show", "port"]).await["device_id"], "");
    demo.print(&["server", "remove", "network", "s", "private"]).await;
    // What the newest versions do not have any more.
    let remove = ["server", "remove", "fixed", "ip", "s", "10.6.0.9"];
    let said = demo.failing(&remove).await;
    assert!(said.contains("404") || said.contains("400"), "{said}");
    demo.print(&[&["--os-compute-api-version", "2.43"], &remove[..]].concat()).await;
    let left = addresses(&demo, "s").await;
    assert_eq!(left["net"], json!([first]), "{left}");
    assert!(left.get("private").is_none(), "{left}");

    demo.print(&["server", "delete", "--wait", "s"]).await;
    assert_eq!(demo.json(&["port", "list", "--device-owner", "compute:nova"]).await, json!([]));
    demo.print(&["port", "delete", "port"]).await;
    demo.print(&["security", "group", "delete", "web"]).await;
    demo.print(&["floating", "ip", "delete", &one, &two]).await;
    demo.print(&["router", "remove", "subnet", "r", "sub"]).await;
    demo.print(&["router", "delete", "r"]).await;
    demo.print(&["network", "delete", "net", "other"]).await;
    cloud.assert_ports_add_up().await;
}

behaviours! {
    Settings::with_demo();
    servers_are_made_on_networks_by_openstackclient,
    interfaces_and_addresses_of_servers_are_changed_by_openstackclient,
}
