//! What Compute passes on to Networking until 2.35, in the forms that it had.

use serde_json::{Value, json};

use crate::support::Cloud;

const V2_1: &str = "/compute/v2.1";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

on_both! {
    async fn networks_and_pools_are_shown_until_2_35(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let (out, _) = admin.network(json!({"name": "out", "router:external": true}), "192.0.2.0/24").await;
        let listed = demo.get(&format!("{V2_1}/os-networks")).await.body["networks"].clone();
        let mut labels: Vec<_> = listed.as_array().unwrap().iter().map(|network| network["label"].as_str().unwrap()).collect();
        labels.sort_unstable();
        assert_eq!(labels, ["net", "out"]);
        let shown = demo.get(&format!("{V2_1}/os-networks/{net}")).await.body["network"].clone();
        assert_eq!((&shown["id"], &shown["cidr"], shown.as_object().unwrap().len()), (&json!(net), &Value::Null, 11));
        assert_eq!(admin.get(&format!("{V2_1}/os-networks/{net}")).await.body["network"].as_object().unwrap().len(), 32);
        let tenant = demo.get(&format!("{V2_1}/os-tenant-networks/{net}")).await.body;
        assert_eq!(tenant, json!({"network": {"id": net, "cidr": "None", "label": "net"}}));
        assert_eq!(demo.get(&format!("{V2_1}/os-tenant-networks")).await.body["networks"].as_array().unwrap().len(), 2);
        assert_eq!(demo.get(&format!("{V2_1}/os-floating-ip-pools")).await.body, json!({"floating_ip_pools": [{"name": "out"}]}));
        for path in ["os-networks", "os-tenant-networks"] {
            let absent = demo.get(&format!("{V2_1}/{path}/{UNKNOWN}")).await;
            assert_eq!((absent.status, absent.message()), (404, "Network not found"));
        }
        for path in ["os-networks", "os-tenant-networks", "os-floating-ip-pools", "os-floating-ips", "os-security-groups"] {
            assert_eq!((demo.at("2.35").get(&format!("{V2_1}/{path}")).await.status, demo.at("2.36").get(&format!("{V2_1}/{path}")).await.status), (200, 404), "{path}");
        }
        assert!(!out.is_empty());
    }

    async fn floating_ips_are_taken_from_pools_and_given_back(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let ips = format!("{V2_1}/os-floating-ips");
        let none = demo.post(&ips, &json!({})).await;
        assert_eq!((none.status, none.message()), (404, "Floating IP pool not found."));
        // Addresses for a gateway and for two.
        admin.network(json!({"name": "out", "router:external": true}), "192.0.2.0/29").await;
        let made = demo.post(&ips, &json!({"pool": "out"})).await;
        assert_eq!(made.status, 200, "{:?}", made.body);
        let ip = made.body["floating_ip"].clone();
        assert_eq!((&ip["pool"], &ip["fixed_ip"], &ip["instance_id"]), (&json!("out"), &Value::Null, &Value::Null));
        let id = ip["id"].as_str().unwrap();
        assert_eq!(demo.get(&format!("{ips}/{id}")).await.body, made.body);
        assert_eq!(demo.get(&ips).await.body, json!({"floating_ips": [ip]}));
        assert_eq!(admin.get(&ips).await.body, json!({"floating_ips": []}));
        assert_eq!(demo.post(&ips, &json!({"pool": "nowhere"})).await.message(), "Floating IP pool not found.");
        let project = demo.get("/networking/v2.0/floatingips").await.body["floatingips"][0]["project_id"].as_str().unwrap().to_owned();
        let quota = admin.put(&format!("/networking/v2.0/quotas/{project}"), &json!({"quota": {"floatingip": 1}})).await;
        assert_eq!(quota.status, 200, "{:?}", quota.body);
        let over = demo.post(&ips, &json!({"pool": "out"})).await;
        assert_eq!((over.status, over.message()), (403, "IP allocation over quota in pool out."));
        let lifted = admin.put(&format!("/networking/v2.0/quotas/{project}"), &json!({"quota": {"floatingip": -1}})).await;
        assert_eq!(lifted.status, 200);
        let mut last = demo.post(&ips, &json!({})).await;
        while last.status == 200 {
            last = demo.post(&ips, &json!({})).await;
        }
        assert_eq!((last.status, last.message()), (404, "No more floating IPs available."));
        assert_eq!(demo.delete(&format!("{ips}/{id}")).await.status, 202);
        let gone = demo.get(&format!("{ips}/{id}")).await;
        assert_eq!((gone.status, gone.message()), (404, format!("Floating IP not found for ID {id}").as_str()));
    }

    async fn security_groups_and_their_rules_are_kept_by_networking(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (groups, rules) = (format!("{V2_1}/os-security-groups"), format!("{V2_1}/os-security-group-rules"));
        let body = |name: &str, description: &str| json!({"security_group": {"name": name, "description": description, "more": 1}});
        let made = demo.post(&groups, &body("web", "first")).await;
        assert_eq!(made.status, 200, "{:?}", made.body);
        let web = made.body["security_group"]["id"].as_str().unwrap().to_owned();
        let project = made.body["security_group"]["tenant_id"].clone();
        assert_eq!(made.body["security_group"]["rules"], json!([]), "nothing comes in by itself");
        let changed = demo.put(&format!("{groups}/{web}"), &body("www", "second")).await;
        assert_eq!((&changed.body["security_group"]["name"], changed.status), (&json!("www"), 200));

        let rule = |more: Value| {
            let mut rule = json!({"parent_group_id": web});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"security_group_rule": rule})
        };
        let ssh = json!({"ip_protocol": "tcp", "from_port": "22", "to_port": 22, "cidr": "10.0.0.0/8"});
        let first = demo.post(&rules, &rule(ssh.clone())).await;
        assert_eq!(first.status, 200, "{:?}", first.body);
        let id = first.body["security_group_rule"]["id"].as_str().unwrap().to_owned();
        assert_eq!(first.body, json!({"security_group_rule": {"id": id, "parent_group_id": web, "ip_protocol": "tcp",
            "from_port": 22, "to_port": 22, "group": {}, "ip_range": {"cidr": "10.0.0.0/8"}}}));
        let twice = demo.post(&rules, &rule(ssh)).await;
        assert_eq!((twice.status, twice.message()), (400, format!("This rule already exists in group {web}").as_str()));
        let own = demo.post(&rules, &rule(json!({"group_id": web, "ip_protocol": "udp"}))).await;
        assert_eq!(own.body["security_group_rule"]["group"], json!({"name": "www", "tenant_id": project}));
        assert_eq!((&own.body["security_group_rule"]["from_port"], &own.body["security_group_rule"]["ip_range"]), (&json!(1), &json!({})));
        let all = demo.post(&rules, &rule(json!({"ip_protocol": "icmp", "from_port": -1, "to_port": -1, "cidr": "::/0"}))).await;
        assert_eq!((all.status, &all.body["security_group_rule"]["to_port"]), (200, &json!(-1)), "{:?}", all.body);
        for (status, refused, said) in [
            (400, rule(json!({})), "Not enough parameters to build a valid rule.".to_owned()),
            (400, json!({"security_group_rule": {}}), "'parent_group_id' is a required property".into()),
            (404, rule(json!({"parent_group_id": UNKNOWN})), UNKNOWN.into()),
            (404, rule(json!({"group_id": UNKNOWN})), UNKNOWN.into()),
        ] {
            let answer = demo.post(&rules, &refused).await;
            assert!(answer.status == status && answer.message().contains(&said), "{refused}: {:?}", answer.body);
        }
        let shown = demo.get(&format!("{groups}/{web}")).await.body["security_group"].clone();
        assert_eq!((&shown["name"], shown["rules"].as_array().unwrap().len()), (&json!("www"), 3));
        let names = |body: &Value| body["security_groups"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect::<Vec<_>>();
        let listed = demo.get(&groups).await.body;
        assert_eq!(names(&listed), [json!("default"), json!("www")]);
        assert_eq!(names(&demo.get(&format!("{groups}?limit=1&offset=1")).await.body).len(), 1);
        assert_eq!(demo.get(&format!("{groups}?limit=x")).await.status, 400);
        assert_eq!((names(&admin.get(&groups).await.body).len(), names(&admin.get(&format!("{groups}?all_tenants=1")).await.body).len()), (1, 3));

        assert_eq!(demo.delete(&format!("{rules}/{id}")).await.status, 202);
        assert_eq!(demo.delete(&format!("{rules}/{id}")).await.status, 404);
        let short = demo.get(&format!("{groups}/g")).await;
        assert_eq!((short.status, short.message()), (400, "Security group id should be uuid"));
        assert_eq!(demo.delete(&format!("{groups}/{web}")).await.status, 202);
        assert_eq!(demo.get(&format!("{groups}/{web}")).await.status, 404);
        assert_eq!(demo.post(&groups, &json!({"security_group": {"name": "x"}})).await.status, 400);
        let quota = admin.put(&format!("/networking/v2.0/quotas/{}", project.as_str().unwrap()), &json!({"quota": {"security_group": 1}})).await;
        assert_eq!(quota.status, 200, "{:?}", quota.body);
        assert_eq!(demo.post(&groups, &body("more", "")).await.status, 403);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        demo.port(&net).await;
        let default = listed["security_groups"][0]["id"].as_str().unwrap();
        assert_eq!(demo.delete(&format!("{groups}/{default}")).await.status, 400);
    }
}
