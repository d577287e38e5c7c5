//! What a policy file changes, as users meet it. Who may do what in all: `matrix`.

use std::collections::BTreeSet;

use http::Method;
use novella_api::COMPUTE;
use novella_identity::IDENTITY;
use novella_image::IMAGE;
use novella_rest::{
    Operation, Service,
    policy::{EVERYBODY, Policy},
};
use serde_json::json;

use crate::support::{Client, Cloud};

fn rules_of<S>(operations: &[Operation<S>]) -> BTreeSet<&'static str> {
    operations
        .iter()
        .filter_map(|operation| operation.rule())
        .filter(|rule| rule.name != EVERYBODY.name)
        .map(|rule| rule.name)
        .collect()
}

#[test]
fn every_operation_has_a_rule_in_its_services_policy_and_no_two_have_one_name() {
    let asked: [(&Service, BTreeSet<&str>); 3] = [
        (&COMPUTE, rules_of(&novella_api::compute::operations())),
        (&IDENTITY, rules_of(&novella_identity::operations())),
        (&IMAGE, rules_of(&novella_image::operations())),
    ];
    for (service, asked) in asked {
        let policy = Policy::of(service.policy).unwrap();
        let names: BTreeSet<&str> = service.policy.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), service.policy.len(), "{}", service.kind);
        assert_eq!(policy.rules().len(), names.len());
        let missing: Vec<_> = asked.difference(&names).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", service.kind);
    }
}

/// Somebody else in the project `demo`, as a member.
async fn colleague(cloud: &Cloud) -> Client<'_> {
    let admin = cloud.admin().await;
    let user = json!({"user": {"name": "colleague", "password": crate::support::PASSWORD}});
    let user = admin.post("/identity/v3/users", &user).await.body["user"]["id"].as_str().unwrap().to_owned();
    let project =
        admin.get("/identity/v3/projects?name=demo").await.body["projects"][0]["id"].as_str().unwrap().to_owned();
    let role = admin.get("/identity/v3/roles?name=member").await.body["roles"][0]["id"].as_str().unwrap().to_owned();
    let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
    assert_eq!(admin.put(&grant, &json!({})).await.status, 204);
    cloud.login("colleague", "demo").await
}

on_both! {
    async fn a_rule_can_leave_servers_to_those_who_made_them(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let file = "os_compute_api:servers:delete: \"rule:context_is_admin or user_id:%(user_id)s\"\n\
            os_compute_api:server-metadata:create: \"user_id:%(user_id)s\"\n";
        let cloud = cloud.with_policies(&[(&COMPUTE, file)]);
        let (demo, colleague) = (cloud.demo().await, colleague(&cloud).await);
        let server = cloud.active_server(&demo, "mine", "host-1").await;
        let path = format!("/compute/v2.1/servers/{server}");
        assert_eq!(colleague.get(&path).await.status, 200);
        let metadata = json!({"metadata": {"k": "v"}});
        assert_eq!(colleague.post(&format!("{path}/metadata"), &metadata).await.status, 403);
        let refused = colleague.delete(&path).await;
        assert_eq!(
            (refused.status, refused.message()),
            (403, "Policy doesn't allow os_compute_api:servers:delete to be performed.")
        );
        assert_eq!(demo.get(&path).await.body["server"]["metadata"], json!({}));
        assert_eq!(demo.post(&format!("{path}/metadata"), &metadata).await.status, 200);
        assert_eq!(demo.delete(&path).await.status, 204);
    }

    async fn what_another_project_has_is_not_there_whatever_a_file_grants(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let admin = cloud.admin().await;
        let server = cloud.active_server(&admin, "theirs", "host-1").await;
        let group = json!({"server_group": {"name": "g", "policies": ["affinity"]}});
        let group = admin.post("/compute/v2.1/os-server-groups", &group).await.body["server_group"]["id"].clone();
        let everybody: String = ["servers:show", "servers:delete", "servers:update", "servers:stop", "os-server-groups:show"]
            .map(|rule| format!("os_compute_api:{rule}: \"@\"\n"))
            .concat();
        let cloud = cloud.with_policies(&[(&COMPUTE, &everybody)]);
        let demo = cloud.demo().await;
        let path = format!("/compute/v2.1/servers/{server}");
        for (method, path) in [
            (Method::GET, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::GET, format!("/compute/v2.1/os-server-groups/{}", group.as_str().unwrap())),
        ] {
            assert_eq!(demo.send(method, &path, axum::body::Body::empty()).await.status, 404, "{path}");
        }
        assert_eq!(demo.action(server, &json!({"os-stop": null})).await.status, 404);
        assert_eq!(cloud.admin().await.get(&path).await.status, 200);
    }

    async fn an_administrator_is_who_the_file_says(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let server = cloud.active_server(&cloud.admin().await, "theirs", "host-1").await;
        let file = "context_is_admin: \"role:admin or role:member\"";
        let cloud = cloud.with_policies(&[(&COMPUTE, file)]);
        // In Compute alone: each service has a policy of its own.
        let demo = cloud.demo().await;
        let seen = demo.get(&format!("/compute/v2.1/servers/{server}")).await;
        assert_eq!((seen.status, &seen.body["server"]["OS-EXT-SRV-ATTR:host"]), (200, &json!("host-1")));
        assert_eq!(demo.get("/compute/v2.1/os-hypervisors").await.status, 200);
        assert_eq!(demo.get("/identity/v3/users").await.status, 403);
    }

    async fn what_a_server_shows_of_its_host_is_a_rule_too(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let server = cloud.active_server(&cloud.demo().await, "s", "host-1").await;
        let path = format!("/compute/v2.1/servers/{server}");
        let host = "OS-EXT-SRV-ATTR:host";
        assert!(cloud.demo().await.get(&path).await.body["server"].get(host).is_none());
        let file = "os_compute_api:os-extended-server-attributes: \"rule:project_reader_or_admin\"";
        let cloud = cloud.with_policies(&[(&COMPUTE, file)]);
        assert_eq!(cloud.demo().await.get(&path).await.body["server"][host], "host-1");
    }

    async fn a_list_of_identity_is_for_those_whom_its_rule_is_granted_to(cloud: Cloud) {
        // That a rule names whose a thing is grants no list of everybody's.
        let file = "identity:list_users: \"user_id:%(target.user.id)s\"\n\
            identity:list_services: \"user_id:%(target.user.id)s\"\n\
            identity:get_user: \"role:member and not user_id:%(target.user.id)s\"\n";
        let cloud = cloud.with_policies(&[(&IDENTITY, file)]);
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        for client in [&admin, &demo] {
            for path in ["/identity/v3/users", "/identity/v3/services"] {
                assert_eq!(client.get(path).await.status, 403, "{path}");
            }
        }
        let secret = demo.token.clone().unwrap();
        let headers = [("x-subject-token", secret.as_str())];
        let own = demo.send_with(Method::GET, "/identity/v3/auth/tokens", axum::body::Body::empty(), &headers).await;
        let own = own.body["token"]["user"]["id"].as_str().unwrap().to_owned();
        assert_eq!(demo.get(&format!("/identity/v3/users/{own}")).await.status, 403);
        assert_eq!(admin.get(&format!("/identity/v3/users/{own}")).await.status, 200);
    }
}
