//! The commands of openstackclient that the walks of `clients.rs` and the like don't need, one after the other, with what
//! their user sees.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    cloud::{Cloud, Settings, wait_for},
    openstackclient::OpenStack,
};

const SERVER: [&str; 6] = ["server", "create", "--flavor", "m1.tiny", "--image", "cirros"];

/// Makes a server and returns what is shown of it once it is active. The client itself would look every five seconds.
async fn create(openstack: &OpenStack, client: &Client, before: &[&str], options: &[&str]) -> Value {
    let made = openstack.json(&[before, &SERVER[..], options].concat()).await;
    let id = made["id"].as_str().unwrap();
    client.wait_for_status(id, "ACTIVE").await;
    openstack.json(&["server", "show", id]).await
}

/// The values of one column of what a list prints, in no order.
fn column<'a>(list: &'a Value, name: &str) -> BTreeSet<&'a str> {
    list.as_array().unwrap().iter().map(|row| row[name].as_str().unwrap()).collect()
}

async fn servers_are_created_and_listed_with_each_option(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let client = cloud.client().await;
    std::fs::create_dir_all(cloud.data_folder()).unwrap();
    let file = cloud.data_folder().join("key.pub");
    let file = file.to_str().unwrap();
    std::fs::write(file, crate::terraform::PUBLIC_KEY).unwrap();

    let key = openstack.json(&["keypair", "create", "--public-key", file, "k1"]).await;
    assert_eq!((&key["name"], &key["type"]), (&"k1".into(), &"ssh".into()), "{key}");
    // The client makes the key, and prints its private half.
    assert!(openstack.print(&["keypair", "create", "k2"]).await.contains("BEGIN OPENSSH PRIVATE KEY"));
    assert_eq!(column(&openstack.json(&["keypair", "list"]).await, "Name"), BTreeSet::from(["k1", "k2"]));
    assert_eq!(openstack.json(&["keypair", "show", "k1"]).await["fingerprint"], key["fingerprint"]);
    assert_eq!(openstack.print(&["keypair", "show", "--public-key", "k1"]).await.trim(), crate::terraform::PUBLIC_KEY);
    openstack.print(&["keypair", "delete", "k2"]).await;

    let group = ["server", "group", "create", "--policy", "anti-affinity", "--rule", "max_server_per_host=2", "g1"];
    let group = openstack.json(&group).await;
    assert_eq!(
        (&group["policy"], &group["rules"]),
        (&"anti-affinity".into(), &json!({"max_server_per_host": 2})),
        "{group}"
    );
    openstack.json(&["server", "group", "create", "--policy", "affinity", "g2"]).await;
    assert_eq!(column(&openstack.json(&["server", "group", "list"]).await, "Name"), BTreeSet::from(["g1", "g2"]));
    let long = openstack.json(&["server", "group", "list", "--long", "--all-projects"]).await;
    assert_eq!(column(&long, "Name"), BTreeSet::from(["g1", "g2"]));

    openstack.json(&["security", "group", "create", "sg1"]).await;
    let rule =
        openstack.json(&["security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "sg1"]).await;
    assert_eq!((&rule["port_range_min"], &rule["protocol"]), (&22.into(), &"tcp".into()), "{rule}");
    let options = format!(
        "--network private --key-name k1 --security-group sg1 --property a=b --user-data {file} --config-drive true \
         --availability-zone nova --hint x=y --description d --tag t1 s2"
    );
    let shown = create(&openstack, &client, &[], &options.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(
        (&shown["key_name"], &shown["config_drive"], &shown["properties"], &shown["description"], &shown["tags"]),
        (&"k1".into(), &"True".into(), &json!({"a": "b"}), &"d".into(), &json!(["t1"])),
        "{shown}"
    );
    assert_eq!(shown["security_groups"], json!([{"name": "sg1"}]));
    create(&openstack, &client, &[], &["--nic", "none", "--server-group", "g1", "s6"]).await;
    let members = openstack.json(&["server", "group", "show", "g1"]).await;
    assert_eq!(members["members"].as_array().map(Vec::len), Some(1), "{members}");
    openstack.json(&[&SERVER[..], &["--nic", "none", "--min", "2", "--max", "2", "s5"]].concat()).await;
    let at_279 = ["--os-compute-api-version", "2.79"];
    let there = create(&openstack, &client, &at_279, &["--nic", "none", "--host", "host-1", "s279"]).await;
    assert_eq!(there["OS-EXT-SRV-ATTR:host"], "host-1");

    let list = async |arguments: &[&str]| openstack.json(&[&["server", "list"], arguments].concat()).await;
    let every = BTreeSet::from(["s2", "s279", "s5-1", "s5-2", "s6"]);
    assert_eq!(column(&list(&["--long", "--all-projects"]).await, "Name"), every);
    assert_eq!(
        column(&list(&["--name", "s6", "--status", "ACTIVE", "--limit", "5"]).await, "Name"),
        BTreeSet::from(["s6"])
    );
    assert!(column(&list(&["--host", "host-1"]).await, "Name").contains("s279"));
    let unnamed = list(&["--no-name-lookup"]).await;
    assert_eq!(column(&unnamed, "Name"), every);
    let old = openstack.json(&["--os-compute-api-version", "2.1", "server", "list"]).await;
    assert_eq!(column(&old, "Flavor"), BTreeSet::from(["m1.tiny"]));
    openstack.print(&["server", "delete", "--wait", "s5-1"]).await;
    openstack.print(&["server", "delete", "--force", "s279"]).await;
    client.wait_until_gone(there["id"].as_str().unwrap()).await;
    let deleted = list(&["--deleted", "--all-projects"]).await;
    assert_eq!(column(&deleted, "Name"), BTreeSet::from(["s279", "s5-1"]));
    openstack.print(&["server", "group", "delete", "g1"]).await;
    cloud.assert_claims_add_up().await;
}

async fn servers_are_changed_with_each_command(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let client = cloud.client().await;
    let created = create(&openstack, &client, &[], &["--nic", "none", "s1"]).await;
    let id = created["id"].as_str().unwrap();
    for (command, status) in [
        (&["pause"][..], "PAUSED"),
        (&["unpause"], "ACTIVE"),
        (&["suspend"], "SUSPENDED"),
        (&["resume"], "ACTIVE"),
        (&["reboot"], "ACTIVE"),
        (&["reboot", "--hard", "--wait"], "ACTIVE"),
        (&["dump", "create"], "ACTIVE"),
    ] {
        openstack.print(&[&["server"], command, &["s1"]].concat()).await;
        client.wait_for_status(id, status).await;
    }
    openstack.print(&["server", "lock", "--reason", "r", "s1"]).await;
    let locked = openstack.json(&["server", "show", "s1"]).await;
    assert_eq!((&locked["locked"], &locked["locked_reason"]), (&true.into(), &"r".into()), "{locked}");
    openstack.print(&["server", "unlock", "s1"]).await;

    let set = ["server", "set", "--name", "s1b", "--property", "k=v", "--description", "dd", "--tag", "t2", "s1"];
    openstack.print(&set).await;
    let shown = openstack.json(&["server", "show", "s1b"]).await;
    assert_eq!(
        (&shown["properties"], &shown["description"], &shown["tags"], &shown["locked"]),
        (&json!({"k": "v"}), &"dd".into(), &json!(["t2"]), &false.into()),
        "{shown}"
    );
    openstack.print(&["server", "set", "--name", "s1", "s1b"]).await;
    openstack.print(&["server", "unset", "--property", "k", "--tag", "t2", "--description", "s1"]).await;
    let shown = openstack.json(&["server", "show", "s1"]).await;
    assert_eq!(
        (&shown["properties"], &shown["description"], &shown["tags"]),
        (&json!({}), &"".into(), &json!([])),
        "{shown}"
    );
    client.action(id, json!({"os-resetState": {"state": "error"}})).await;
    openstack.print(&["server", "set", "--auto-approve", "--state", "active", "s1"]).await;
    assert_eq!(openstack.json(&["server", "show", "s1"]).await["status"], "ACTIVE");
    openstack.print(&["server", "set", "--no-password", "s1"]).await;
    assert_eq!(openstack.json(&["server", "show", "--diagnostics", "s1"]).await["state"], "running");

    let events = openstack.json(&["server", "event", "list", "s1"]).await;
    let pause = events.as_array().unwrap().iter().find(|event| event["Action"] == "pause").unwrap();
    let shown = openstack.json(&["server", "event", "show", "s1", pause["Request ID"].as_str().unwrap()]).await;
    assert_eq!(
        (&shown["events"][0]["event"], &shown["events"][0]["result"]),
        (&"compute_pause_instance".into(), &"Success".into())
    );

    for kind in ["--serial", "--spice"] {
        let said = openstack.failing(&["console", "url", "show", kind, "s1"]).await;
        assert!(said.contains("Unavailable console type"), "{said}");
    }
    // Tasks that this cloud does not have say so.
    for (command, action) in [
        (&["rebuild", "--image", "cirros", "s1"][..], "rebuild"),
        (&["resize", "--flavor", "m1.small", "--wait", "s1"], "resize"),
        (&["shelve", "--offload", "--wait", "s1"], "shelve"),
        (&["rescue", "--image", "cirros", "s1"], "rescue"),
        (&["unrescue", "s1"], "unrescue"),
        (&["evacuate", "--host", "host-2", "s1"], "evacuate"),
        (&["image", "create", "--name", "snap1", "--wait", "s1"], "createImage"),
        (&["backup", "create", "--name", "bk", "--type", "daily", "--rotate", "2", "s1"], "createBackup"),
    ] {
        let said = openstack.failing(&[&["server"], command].concat()).await;
        assert!(said.contains(&format!("does not have the action '{action}' yet")), "{command:?}: {said}");
    }
    openstack.print(&["server", "delete", "s1"]).await;
    client.wait_until_gone(id).await;
}

async fn servers_are_moved_with_each_command(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let client = cloud.client().await;
    // Slow enough to be asked about: the guest writes as fast as it is copied.
    let slow = "--nic none --property fake:bandwidth_mib=256 --property fake:dirty_rate_mib=4096 s1";
    let created = create(&openstack, &client, &[], &slow.split(' ').collect::<Vec<_>>()).await;
    let (id, source) = (created["id"].as_str().unwrap(), created["OS-EXT-SRV-ATTR:host"].as_str().unwrap());
    let others: Vec<&str> = ["host-1", "host-2", "host-3"].into_iter().filter(|host| *host != source).collect();

    openstack.print(&["server", "migrate", "--host", others[0], "--wait", "s1"]).await;
    assert_eq!(client.wait_for_status(id, "VERIFY_RESIZE").await["OS-EXT-SRV-ATTR:host"], others[0]);
    openstack.print(&["server", "migration", "confirm", "s1"]).await;
    wait_for("the confirmation", async || client.server(id).await["status"] == "ACTIVE").await;
    openstack.print(&["server", "migrate", "s1"]).await;
    wait_for("the server to be moved", async || client.server(id).await["status"] == "VERIFY_RESIZE").await;
    openstack.print(&["server", "migration", "revert", "s1"]).await;
    wait_for("the server to be back", async || client.server(id).await["status"] == "ACTIVE").await;
    assert_eq!(client.host_of(id).await, others[0]);

    let running = async || {
        wait_for("a migration that runs", async || {
            let list = client.get(&format!("/servers/{id}/migrations")).await;
            list["migrations"].as_array().is_some_and(|found| found.iter().any(|one| one["status"] == "running"))
        })
        .await;
        let list = openstack.json(&["server", "migration", "list", "--server", "s1", "--status", "running"]).await;
        list[0]["Id"].as_u64().unwrap().to_string()
    };
    let live = ["server", "migrate", "--live-migration", "--host", others[1], "--block-migration", "s1"];
    openstack.print(&live).await;
    openstack.print(&["server", "migration", "abort", "s1", &running().await]).await;
    assert_eq!(client.wait_for_status(id, "ACTIVE").await["OS-EXT-SRV-ATTR:host"], others[0]);
    openstack.print(&live).await;
    openstack.print(&["server", "migration", "force", "complete", "s1", &running().await]).await;
    assert_eq!(client.wait_for_status(id, "ACTIVE").await["OS-EXT-SRV-ATTR:host"], others[1]);
    let all = openstack.json(&["server", "migration", "list"]).await;
    let statuses = all.as_array().unwrap().iter().map(|one| one["Status"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(statuses, ["completed", "cancelled", "reverted", "confirmed"]);
    openstack.print(&["server", "delete", "--wait", "s1"]).await;
    cloud.assert_claims_add_up().await;
}

async fn hosts_services_and_zones_are_shown_and_changed(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let services = async || {
        openstack.json(&["compute", "service", "list", "--service", "nova-compute", "--host", "host-1"]).await[0]
            .clone()
    };
    for (option, column, expected) in [
        ("--disable", "Status", "disabled"),
        ("--enable", "Status", "enabled"),
        ("--down", "State", "down"),
        ("--up", "State", "up"),
    ] {
        openstack.print(&["compute", "service", "set", option, "host-1", "nova-compute"]).await;
        wait_for(option, async || services().await[column] == expected).await;
    }
    let said = openstack.failing(&["compute", "service", "delete", "00000000-0000-4000-8000-000000000000"]).await;
    assert!(said.contains("Service 00000000-0000-4000-8000-000000000000 not found"), "{said}");
    let hosts = BTreeSet::from(["host-1", "host-2", "host-3"]);
    assert_eq!(column(&openstack.json(&["hypervisor", "list", "--long"]).await, "Hypervisor Hostname"), hosts);
    let matching = openstack.json(&["hypervisor", "list", "--matching", "host-1"]).await;
    assert_eq!(column(&matching, "Hypervisor Hostname"), BTreeSet::from(["host-1"]));
    let at_287 = ["--os-compute-api-version", "2.87"];
    assert_eq!(openstack.json(&[&at_287[..], &["hypervisor", "stats", "show"]].concat()).await["count"], 3);
    let shown = openstack.json(&[&at_287[..], &["hypervisor", "show", "host-1"]].concat()).await;
    assert!(shown["uptime"].as_str().is_some() && shown["vcpus"].as_u64().is_some(), "{shown}");

    openstack.json(&["aggregate", "create", "--zone", "az1", "--property", "ssd=true", "ag1"]).await;
    openstack.print(&["aggregate", "add", "host", "ag1", "host-1"]).await;
    openstack.print(&["aggregate", "set", "--property", "x=y", "--zone", "az2", "ag1"]).await;
    let shown = openstack.json(&["aggregate", "show", "ag1"]).await;
    assert_eq!((&shown["availability_zone"], &shown["properties"]["x"]), (&"az2".into(), &"y".into()), "{shown}");
    let zones = openstack.json(&["availability", "zone", "list", "--compute", "--long"]).await;
    let az2 = zones.as_array().unwrap().iter().find(|zone| zone["Zone Name"] == "az2").unwrap();
    assert_eq!((&az2["Host Name"], &az2["Service Name"]), (&"host-1".into(), &"nova-compute".into()), "{zones}");
    assert!(column(&openstack.json(&["availability", "zone", "list"]).await, "Zone Name").contains("az2"));
    openstack.print(&["aggregate", "cache", "image", "ag1", "cirros"]).await;
    openstack.print(&["aggregate", "remove", "host", "ag1", "host-1"]).await;
    openstack.print(&["aggregate", "delete", "ag1"]).await;
}

async fn what_is_there_is_listed_for_whoever_may(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let list = async |command: &str, name: &str| {
        let listed = openstack.json(&command.split(' ').collect::<Vec<_>>()).await;
        column(&listed, name).into_iter().map(ToOwned::to_owned).collect::<BTreeSet<_>>()
    };
    for (command, name, expected) in [
        ("catalog list", "Type", &["compute", "identity", "image", "network"][..]),
        ("service list", "Name", &["nova", "keystone", "glance", "neutron"]),
        ("endpoint list", "Service Type", &["compute", "identity", "image", "network"]),
        ("project list", "Name", &["admin", "demo"]),
        ("role list", "Name", &["admin", "manager", "member", "reader"]),
        ("role assignment list --project demo --names", "User", &["demo@Default"]),
        ("flavor list --all", "Name", &["m1.tiny", "m1.small"]),
        ("network list", "Name", &["private", "public"]),
        ("subnet list", "Name", &["private-subnet", "public-subnet"]),
        ("router list", "Name", &["router"]),
        ("security group list", "Name", &["default"]),
        ("image list", "Name", &["cirros"]),
        ("extension list --compute", "Alias", &["os-keypairs", "os-services"]),
    ] {
        let found = list(command, name).await;
        let missing: Vec<_> = expected.iter().filter(|one| !found.contains(**one)).collect();
        assert!(missing.is_empty(), "{command}: {missing:?} not in {found:?}");
    }
    assert_eq!(openstack.json(&["floating", "ip", "list"]).await, json!([]));
    assert_eq!(openstack.json(&["network", "show", "private"]).await["shared"], true);
    let versions = openstack.json(&["versions", "show"]).await;
    assert!(
        column(&versions, "Service Type").is_superset(&BTreeSet::from(["compute", "identity", "image", "network"]))
    );
    let compute = openstack.json(&["versions", "show", "--service", "compute"]).await;
    assert!(compute.as_array().unwrap().iter().any(|one| one["Max Microversion"] == "2.104"), "{compute}");

    let private = ["flavor", "create", "--ram", "512", "--disk", "1", "--vcpus", "1", "--private", "--project", "demo"];
    let made = openstack.json(&[&private[..], &["--property", "hw:cpu_policy=shared", "fpriv"]].concat()).await;
    assert_eq!(
        (&made["os-flavor-access:is_public"], &made["properties"]),
        (&false.into(), &json!({"hw:cpu_policy": "shared"})),
        "{made}"
    );
    assert!(column(&openstack.as_demo().json(&["flavor", "list"]).await, "Name").contains("fpriv"));
    openstack.json(&["flavor", "create", "--ram", "512", "--disk", "1", "--vcpus", "1", "--id", "f9", "fnew"]).await;
    openstack.print(&["flavor", "set", "--property", "hw:x=1", "--description", "d", "fnew"]).await;
    let shown = openstack.json(&["flavor", "show", "fnew"]).await;
    assert_eq!(
        (&shown["id"], &shown["description"], &shown["properties"]),
        (&"f9".into(), &"d".into(), &json!({"hw:x": "1"}))
    );
    openstack.print(&["flavor", "delete", "fnew", "fpriv"]).await;

    openstack.print(&["quota", "set", "--class", "--instances", "20", "default"]).await;
    openstack.print(&["quota", "set", "--instances", "7", "demo"]).await;
    let quotas = openstack.json(&["quota", "list", "--compute"]).await;
    assert_eq!(
        quotas.as_array().unwrap().iter().map(|row| row["Instances"].clone()).collect::<Vec<_>>(),
        [7],
        "{quotas}"
    );
    let limits = openstack.json(&["limits", "show", "--absolute", "--project", "demo"]).await;
    let limit = limits.as_array().unwrap().iter().find(|row| row["Name"] == "max_total_instances").unwrap();
    assert_eq!(limit["Value"], 7);
    let public = ["image", "create", "--disk-format", "raw", "--container-format", "bare", "--public", "--file"];
    let file = cloud.data_folder().join("img.raw");
    std::fs::create_dir_all(cloud.data_folder()).unwrap();
    std::fs::write(&file, [7; 4096]).unwrap();
    let made = openstack.json(&[&public[..], &[file.to_str().unwrap(), "img1"]].concat()).await;
    assert_eq!((&made["visibility"], &made["size"]), (&"public".into(), &4096.into()));
    assert!(column(&openstack.as_demo().json(&["image", "list"]).await, "Name").contains("img1"));
}

behaviours! {
    Settings::with_demo();
    servers_are_created_and_listed_with_each_option,
    servers_are_changed_with_each_command,
    servers_are_moved_with_each_command,
    hosts_services_and_zones_are_shown_and_changed,
    what_is_there_is_listed_for_whoever_may,
}
