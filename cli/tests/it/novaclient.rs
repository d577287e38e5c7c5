//! The older client, python-novaclient: its commands as scripts of many years have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    openstackclient::OpenStack,
};

type Row = BTreeMap<String, String>;

/// novaclient reads no `clouds.yaml`.
async fn nova(cloud: &Cloud, user: &str) -> OpenStack {
    OpenStack::of(cloud).await.at(&format!("{}/identity/v3", cloud.endpoint), user, PASSWORD, user)
}

/// The rows of the last table in what a command prints, by the names of the columns. A table has three borders.
fn rows(text: &str) -> Vec<Row> {
    let cells = |line: &str| {
        let line = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
    };
    let lines: Vec<&str> = text.lines().collect();
    let borders: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("+-")).collect();
    let begin = borders.len().checked_sub(3).unwrap_or_else(|| panic!("no table: {text}"));
    let mut lines = lines[borders[begin]..].iter().filter_map(|line| cells(line));
    let names = lines.next().unwrap();
    lines.map(|line| names.iter().cloned().zip(line).collect()).collect()
}

/// What a table of properties says.
fn properties(text: &str) -> Row {
    rows(text).into_iter().map(|row| (row["Property"].clone(), row["Value"].clone())).collect()
}

fn column<'a>(rows: &'a [Row], name: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[name].as_str()).collect()
}

async fn a_server_is_led_through_its_life_by_novaclient(cloud: Cloud) {
    let (client, admin) = (cloud.client().await, nova(&cloud, "admin").await);
    let key = cloud.data_folder().join("key.pub");
    std::fs::create_dir_all(cloud.data_folder()).unwrap();
    std::fs::write(&key, crate::terraform::PUBLIC_KEY).unwrap();
    admin.nova(&["keypair-add", "--pub-key", key.to_str().unwrap(), "key"]).await;
    assert_eq!(column(&rows(&admin.nova(&["keypair-list"]).await), "Name"), ["key"]);

    let boot = ["boot", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "net-name=private", "--key-name", "key"];
    let with =
        ["--meta", "a=b", "--tags", "t1,t2", "--description", "d", "--security-groups", "default", "--poll", "s"];
    let said = admin.nova(&[&boot[..], &with].concat()).await;
    assert!(said.contains("100% complete") && said.contains("adminPass"), "{said}");
    let shown = properties(&admin.nova(&["show", "s"]).await);
    assert_eq!(
        ["status", "key_name", "metadata", "tags", "description", "security_groups"].map(|name| shown[name].as_str()),
        ["ACTIVE", "key", r#"{"a": "b"}"#, r#"["t1", "t2"]"#, "d", "default"]
    );
    let listed = rows(&admin.nova(&["list"]).await);
    assert_eq!(column(&listed, "Power State"), ["Running"]);
    assert_eq!(listed[0]["Networks"], format!("private={}", shown["private network"]));
    let fields = rows(&admin.nova(&["list", "--fields", "name,host"]).await);
    assert_eq!((&fields[0]["Name"], &fields[0]["Host"]), (&"s".to_owned(), &shown["OS-EXT-SRV-ATTR:host"]));
    assert!(rows(&admin.nova(&["list", "--status", "SHUTOFF"]).await).is_empty());

    let id = shown["id"].as_str();
    for (command, status) in [
        (&["stop", "s"][..], "SHUTOFF"),
        (&["start", "s"], "ACTIVE"),
        (&["pause", "s"], "PAUSED"),
        (&["unpause", "s"], "ACTIVE"),
        (&["suspend", "s"], "SUSPENDED"),
        (&["resume", "s"], "ACTIVE"),
        (&["reboot", "--hard", "--poll", "s"], "ACTIVE"),
        (&["trigger-crash-dump", "s"], "ACTIVE"),
    ] {
        admin.nova(command).await;
        client.wait_for_status(id, status).await;
    }
    admin.nova(&["lock", "s", "--reason", "in use"]).await;
    let locked = properties(&admin.nova(&["show", "s"]).await);
    assert_eq!((&locked["locked"], &locked["locked_reason"]), (&"True".to_owned(), &"in use".to_owned()));
    admin.nova(&["unlock", "s"]).await;
    assert_eq!(admin.nova(&["console-log", "--length", "3", "s"]).await.trim_end_matches('\n').lines().count(), 3);
    assert_eq!(properties(&admin.nova(&["diagnostics", "s"]).await)["state"], "running");
    assert_eq!(properties(&admin.nova(&["server-topology", "s"]).await)["nodes"], "[]");

    admin.nova(&["meta", "s", "set", "k=v"]).await;
    admin.nova(&["meta", "s", "delete", "a"]).await;
    admin.nova(&["server-tag-add", "s", "t3"]).await;
    admin.nova(&["server-tag-delete", "s", "t1"]).await;
    assert_eq!(column(&rows(&admin.nova(&["server-tag-list", "s"]).await), "Tag"), ["t2", "t3"]);
    admin.nova(&["server-tag-set", "s", "t4"]).await;
    admin.nova(&["update", "--name", "t", "--description", "other", "s"]).await;
    let shown = properties(&admin.nova(&["show", "t"]).await);
    assert_eq!(
        ["metadata", "tags", "description"].map(|name| shown[name].as_str()),
        [r#"{"k": "v"}"#, r#"["t4"]"#, "other"]
    );
    admin.nova(&["server-tag-delete-all", "t"]).await;
    assert!(rows(&admin.nova(&["server-tag-list", "t"]).await).is_empty());
    assert_eq!(admin.nova(&["get-password", "t"]).await.trim(), "");
    admin.nova(&["clear-password", "t"]).await;

    // A second address, and away with it.
    let network = rows(&admin.nova(&["interface-list", "t"]).await)[0]["Net ID"].clone();
    let attached = properties(&admin.nova(&["interface-attach", "--net-id", &network, "--tag", "nic", "t"]).await);
    assert_eq!(rows(&admin.nova(&["interface-list", "t"]).await).len(), 2);
    admin.nova(&["interface-detach", "t", &attached["port_id"]]).await;
    wait_for("the port to be gone", async || {
        let left = rows(&admin.nova(&["interface-list", "t"]).await);
        left.len() == 1 && left[0]["Port ID"] != attached["port_id"]
    })
    .await;
    admin.nova(&["remove-secgroup", "t", "default"]).await;
    assert!(rows(&admin.nova(&["list-secgroup", "t"]).await).is_empty());
    admin.nova(&["add-secgroup", "t", "default"]).await;
    assert_eq!(column(&rows(&admin.nova(&["list-secgroup", "t"]).await), "Name"), ["default"]);
    admin.nova(&["refresh-network", "t"]).await;
    assert!(rows(&admin.nova(&["volume-attachments", "t"]).await).is_empty());

    // The client sorts by the time.
    let history = rows(&admin.nova(&["instance-action-list", "t"]).await);
    let expected = "create stop start pause unpause suspend resume reboot trigger_crash_dump lock unlock attach_interface \
                    detach_interface";
    assert_eq!(column(&history, "Action"), expected.split(' ').collect::<Vec<_>>());
    let action = admin.nova(&["instance-action", "t", &history[1]["Request_ID"]]).await;
    assert!(action.contains("compute_stop_instance"), "{action}");

    for (command, action) in [
        (&["resize", "t", "m1.small"][..], "resize"),
        (&["rebuild", "t", "cirros"], "rebuild"),
        (&["shelve", "t"], "shelve"),
        (&["rescue", "t"], "rescue"),
        (&["image-create", "t", "snap"], "createImage"),
        (&["backup", "t", "b", "daily", "1"], "createBackup"),
    ] {
        let said = admin.nova_failing(command).await;
        assert!(said.contains(&format!("This cloud does not have the action '{action}' yet. (HTTP 400)")), "{said}");
    }
    assert!(admin.nova(&["delete", "t"]).await.contains("Request to delete server t has been accepted."));
    client.wait_until_gone(id).await;
    admin.nova(&["keypair-delete", "key"]).await;
    assert!(rows(&admin.nova(&["keypair-list"]).await).is_empty());
    cloud.assert_claims_add_up().await;
    cloud.assert_ports_add_up().await;
}

async fn an_operator_moves_servers_between_hosts_with_novaclient(cloud: Cloud) {
    let (client, admin) = (cloud.client().await, nova(&cloud, "admin").await);
    let boot = ["boot", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "none", "--poll"];
    admin.nova(&[&boot[..], &["--min-count", "2", "s"]].concat()).await;
    let servers = rows(&admin.nova(&["list", "--fields", "name,host"]).await);
    assert_eq!(column(&servers, "Name").into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["s-1", "s-2"]));
    let (id, source) = (servers[0]["ID"].as_str(), servers[0]["Host"].as_str());
    client.wait_for_status(id, "ACTIVE").await;

    admin.nova(&["live-migration", id]).await;
    client.wait_until_settled(id).await;
    let migrations = rows(&admin.nova(&["migration-list", "--instance-uuid", id]).await);
    assert_eq!(column(&migrations, "Status"), ["completed"]);
    assert_eq!(
        (column(&migrations, "Source Compute"), column(&migrations, "Type")),
        (vec![source], vec!["live-migration"])
    );
    assert!(rows(&admin.nova(&["server-migration-list", id]).await).is_empty());
    let now = properties(&admin.nova(&["show", id]).await)["OS-EXT-SRV-ATTR:host"].clone();
    assert_ne!(now, source);
    admin.nova(&["host-evacuate-live", &now]).await;
    for server in &servers {
        client.wait_until_settled(server["ID"].as_str()).await;
    }
    let there = rows(&admin.nova(&["hypervisor-servers", &now]).await);
    assert!(there.is_empty(), "{there:?}");

    // Evacuation is asked for server by server: of a host without any, nothing.
    assert!(rows(&admin.nova(&["host-evacuate", &now]).await).is_empty());
    assert!(admin.nova(&["reset-state", id]).await.contains("new state is error"));
    assert_eq!(properties(&admin.nova(&["show", id]).await)["status"], "ERROR");
    assert!(admin.nova(&["reset-state", "--active", id]).await.contains("new state is active"));

    let services = rows(&admin.nova(&["service-list", "--binary", "nova-compute"]).await);
    let hosts: BTreeSet<&str> = column(&services, "Host").into_iter().collect();
    assert_eq!(hosts, BTreeSet::from(["host-1", "host-2", "host-3"]));
    let service = services[0]["Id"].as_str();
    let disabled = rows(&admin.nova(&["service-disable", "--reason", "a new disk", service]).await);
    assert_eq!((disabled[0]["Status"].as_str(), disabled[0]["Disabled Reason"].as_str()), ("disabled", "a new disk"));
    assert_eq!(rows(&admin.nova(&["service-enable", service]).await)[0]["Status"], "enabled");
    assert_eq!(rows(&admin.nova(&["service-force-down", service]).await)[0]["Forced down"], "True");
    admin.nova(&["service-force-down", "--unset", service]).await;
    let hypervisors = rows(&admin.nova(&["hypervisor-list"]).await);
    let names: BTreeSet<&str> = column(&hypervisors, "Hypervisor hostname").into_iter().collect();
    assert_eq!(names, BTreeSet::from(["host-1", "host-2", "host-3"]));
    let shown = properties(&admin.nova(&["hypervisor-show", &hypervisors[0]["ID"]]).await);
    assert_eq!(shown["hypervisor_hostname"], hypervisors[0]["Hypervisor hostname"]);
    let statistics = properties(&admin.nova(&["--os-compute-api-version", "2.87", "hypervisor-stats"]).await);
    assert_eq!((statistics["count"].as_str(), statistics["running_vms"].as_str()), ("3", "2"));
    assert!(admin.nova(&["instance-usage-audit-log"]).await.contains("num_hosts"));
    assert_eq!(rows(&admin.nova(&["version-list"]).await)[0]["Status"], "CURRENT");

    // A cell of a table may be longer than its name; the client's own tables of usage have no ids.
    assert_eq!(rows(&admin.nova(&["usage"]).await)[0]["Servers"], "2");
    assert_eq!(column(&rows(&admin.nova(&["usage-list"]).await), "Servers"), ["2"]);
    admin.nova(&["force-delete", id]).await;
    client.wait_until_gone(id).await;
    cloud.assert_claims_add_up().await;
}

async fn an_operator_divides_and_bounds_with_novaclient(cloud: Cloud) {
    let admin = nova(&cloud, "admin").await;
    let demo = nova(&cloud, "demo").await;
    let token = cloud.client_of("demo", "demo").await.token().await;
    let project = token["token"]["project"]["id"].as_str().unwrap();
    let made = rows(&admin.nova(&["flavor-create", "--is-public", "false", "own", "auto", "64", "1", "1"]).await);
    assert_eq!((made[0]["Memory_MiB"].as_str(), made[0]["Is_Public"].as_str()), ("64", "False"));
    admin.nova(&["flavor-key", "own", "set", "hw:cpu_policy=shared"]).await;
    admin.nova(&["flavor-update", "own", "for one"]).await;
    let shown = properties(&admin.nova(&["flavor-show", "own"]).await);
    assert_eq!(
        (shown["extra_specs"].as_str(), shown["description"].as_str()),
        (r#"{"hw:cpu_policy": "shared"}"#, "for one")
    );
    let of_demo = async || column(&rows(&demo.nova(&["flavor-list"]).await), "Name").contains(&"own");
    assert!(!of_demo().await);
    assert_eq!(column(&rows(&admin.nova(&["flavor-access-add", "own", project]).await), "Tenant_ID"), [project]);
    assert!(of_demo().await);
    assert!(rows(&admin.nova(&["flavor-access-remove", "own", project]).await).is_empty());
    admin.nova(&["flavor-key", "own", "unset", "hw:cpu_policy"]).await;
    admin.nova(&["flavor-delete", "own"]).await;

    let made = rows(&admin.nova(&["aggregate-create", "fast", "west"]).await);
    assert_eq!(made[0]["Metadata"], "'availability_zone=west'");
    admin.nova(&["aggregate-add-host", "fast", "host-2"]).await;
    admin.nova(&["aggregate-set-metadata", "fast", "ssd=true"]).await;
    admin.nova(&["aggregate-update", "--name", "faster", "fast"]).await;
    let shown = rows(&admin.nova(&["aggregate-show", "faster"]).await);
    assert_eq!(
        (shown[0]["Hosts"].as_str(), shown[0]["Metadata"].as_str()),
        ("'host-2'", "'availability_zone=west', 'ssd=true'")
    );
    assert_eq!(column(&rows(&admin.nova(&["aggregate-list"]).await), "Name"), ["faster"]);
    let zones = rows(&admin.nova(&["availability-zone-list"]).await);
    for zone in ["internal", "nova", "west"] {
        assert!(column(&zones, "Name").contains(&zone), "{zones:?}");
    }
    admin.nova(&["aggregate-remove-host", "faster", "host-2"]).await;
    admin.nova(&["aggregate-delete", "faster"]).await;

    let group = ["server-group-create", "apart", "anti-affinity", "--rule", "max_server_per_host=1"];
    let group = rows(&demo.nova(&group).await)[0].clone();
    assert_eq!(group["Rules"], "{'max_server_per_host': 1}");
    let hint = format!("group={}", group["Id"]);
    let boot = ["boot", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "none", "--hint", &hint, "--poll"];
    demo.nova(&[&boot[..], &["--min-count", "3", "s"]].concat()).await;
    let members = rows(&demo.nova(&["server-group-get", &group["Id"]]).await)[0]["Members"].clone();
    assert_eq!(members.matches(", ").count(), 2, "{members}");
    assert_eq!(column(&rows(&demo.nova(&["server-group-list"]).await), "Name"), ["apart"]);

    let quota = async |arguments: &[&str], name: &str| {
        let shown = rows(&admin.nova(arguments).await);
        shown.iter().find(|row| row["Quota"] == name).unwrap()["Limit"].clone()
    };
    let default = quota(&["quota-defaults"], "instances").await;
    admin.nova(&["quota-update", "--instances", "3", "--force", project]).await;
    assert_eq!(quota(&["quota-show", "--tenant", project], "instances").await, "3");
    let said = demo.nova_failing(&[&boot[..], &["more"]].concat()).await;
    assert!(said.contains("Quota exceeded for instances: Requested 1, but already used 3 of 3 instances"), "{said}");
    admin.nova(&["quota-delete", "--tenant", project]).await;
    assert_eq!(quota(&["quota-show", "--tenant", project], "instances").await, default);
    admin.nova(&["quota-class-update", "--key-pairs", "7", "default"]).await;
    assert_eq!(quota(&["quota-class-show", "default"], "key_pairs").await, "7");
    assert_eq!(quota(&["quota-defaults"], "key_pairs").await, "7");
    let limits = rows(&demo.nova(&["limits"]).await);
    let instances = limits.iter().find(|row| row["Name"] == "Instances").unwrap();
    assert_eq!((&instances["Used"], &instances["Max"]), (&"3".to_owned(), &default));

    // A member sees neither hosts nor others' servers.
    assert!(demo.nova_failing(&["hypervisor-list"]).await.contains("(HTTP 403)"));
    assert!(demo.nova_failing(&["list", "--all-tenants"]).await.contains("(HTTP 403)"));
    assert_eq!(rows(&admin.nova(&["list", "--all-tenants"]).await).len(), 3);
    demo.nova(&["server-group-delete", &group["Id"]]).await;
}

behaviours! {
    Settings::with_demo();
    a_server_is_led_through_its_life_by_novaclient,
    an_operator_moves_servers_between_hosts_with_novaclient,
    an_operator_divides_and_bounds_with_novaclient,
}
