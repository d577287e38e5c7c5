//! The real client, and what it says about images beside the images themselves (those are in `clients.rs`): tasks,
//! members, stores, and the catalog of what properties mean. Left out: `cached image`, which is refused since there is no
//! cache.

use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings},
    openstackclient::OpenStack,
};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_members_stores_and_what_properties_mean_are_looked_after_with_openstackclient() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let openstack = OpenStack::of(&cloud).await;
    let (json, print) = (async |a: &[&str]| openstack.json(a).await, async |a: &[&str]| openstack.print(a).await);
    let listed = |list: &Value, column: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
    };
    let raw = cloud.data_folder().join("an-image");
    std::fs::write(&raw, [1_u8; 5000]).unwrap();
    let raw = raw.to_str().unwrap();

    // An import is a task, which is there to be asked about.
    json(&["image", "create", "--import", "--disk-format", "raw", "--file", raw, "imported"]).await;
    let tasks = json(&["image", "task", "list"]).await;
    assert_eq!((&tasks[0]["Type"], &tasks[0]["Status"]), (&json!("api_image_import"), &json!("success")), "{tasks}");
    let task = json(&["image", "task", "show", tasks[0]["ID"].as_str().unwrap()]).await;
    assert_eq!(task["status"], "success", "{task}");
    print(&["image", "add", "project", "imported", "demo"]).await;
    let members = json(&["image", "member", "list", "imported"]).await;
    let member = json(&["image", "member", "get", "imported", members[0]["Member ID"].as_str().unwrap()]).await;
    assert_eq!(member["status"], "pending", "{member}");
    assert!(json(&["image", "stores", "list"]).await.is_array());
    let said = openstack.failing(&["cached", "image", "list"]).await;
    assert!(said.contains("Caching via API is not supported at this site"), "{said}");

    let metadef = |rest: &[&'static str]| -> Vec<&'static str> { [&["image", "metadef"], rest].concat() };
    let create = ["namespace", "create", "--description", "of ours", "--private", "Ours::Disk"];
    assert_eq!(json(&metadef(&create)).await["namespace"], "Ours::Disk");
    print(&metadef(&["namespace", "set", "--display-name", "Our disks", "--tag", "t", "Ours::Disk"])).await;
    let shown = json(&metadef(&["namespace", "show", "Ours::Disk"])).await;
    assert_eq!(shown["display_name"], "Our disks", "{shown}");
    assert!(listed(&json(&metadef(&["namespace", "list"])).await, "namespace").contains(&"Ours::Disk".to_owned()));
    print(&metadef(&["namespace", "unset", "--all-tags", "Ours::Disk"])).await;

    let schema = r#"{"description": "how fast"}"#;
    let create = ["property", "create", "--name", "speed", "--title", "Speed", "--type", "string", "--schema", schema];
    json(&metadef(&[&create[..], &["Ours::Disk"]].concat())).await;
    print(&metadef(&["property", "set", "--title", "The speed", "Ours::Disk", "speed"])).await;
    assert_eq!(json(&metadef(&["property", "show", "Ours::Disk", "speed"])).await["title"], "The speed");
    assert_eq!(listed(&json(&metadef(&["property", "list", "Ours::Disk"])).await, "name"), ["speed"]);
    json(&metadef(&["object", "create", "--namespace", "Ours::Disk", "Disk"])).await;
    print(&metadef(&["object", "update", "--name", "Disc", "Ours::Disk", "Disk"])).await;
    assert_eq!(json(&metadef(&["object", "show", "Ours::Disk", "Disc"])).await["name"], "Disc");
    assert_eq!(listed(&json(&metadef(&["object", "list", "Ours::Disk"])).await, "name"), ["Disc"]);
    let association = ["resource", "type", "association"];
    json(&metadef(&[&association[..], &["create", "Ours::Disk", "OS::Glance::Image"]].concat())).await;
    let associations = json(&metadef(&[&association[..], &["list", "Ours::Disk"]].concat())).await;
    assert_eq!(associations.as_array().unwrap().len(), 1, "{associations}");
    let types = json(&metadef(&["resource", "type", "list"])).await;
    assert!(types.to_string().contains("OS::Glance::Image"), "{types}");

    print(&metadef(&[&association[..], &["delete", "Ours::Disk", "OS::Glance::Image"]].concat())).await;
    print(&metadef(&["object", "delete", "Ours::Disk", "Disc"])).await;
    print(&metadef(&["property", "delete", "Ours::Disk", "speed"])).await;
    print(&metadef(&["namespace", "delete", "Ours::Disk"])).await;
    let said = openstack.failing(&metadef(&["namespace", "show", "Ours::Disk"])).await;
    assert!(said.contains("Ours::Disk"), "{said}");
}
