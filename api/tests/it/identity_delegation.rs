//! What users leave with programs and with each other: application credentials, access rules, trusts, credentials.

use serde_json::{Value, json};

use crate::{
    identity_resources::{id, make, role},
    support::{Client, Cloud, PASSWORD, password},
};

const V3: &str = "/identity/v3";

/// The user and the project of a token.
async fn who(client: &Client<'_>) -> (String, String) {
    let token = client.token.clone().unwrap();
    let shown = client
        .send_with(
            http::Method::GET,
            &format!("{V3}/auth/tokens"),
            axum::body::Body::empty(),
            &[("x-subject-token", &token)],
        )
        .await;
    let token = &shown.body["token"];
    (id(&token["user"]).to_owned(), id(&token["project"]).to_owned())
}

fn by_credential(credential: &Value) -> Value {
    json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
        "id": credential["id"], "secret": credential["secret"],
    }}}})
}

on_both! {
    async fn an_application_credential_logs_in_for_one_project_with_its_roles(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (user, project) = who(&demo).await;
        let path = format!("users/{user}/application_credentials");
        let new = json!({"name": "a", "roles": [{"name": "reader"}], "secret": null, "description": null, "expires_at": null, "unrestricted": false, "access_rules": []});
        let made = make(&demo, &path, "application_credential", new).await;
        assert_eq!((&made["project_id"], &made["roles"][0]["name"], made["secret"].as_str().unwrap().len()), (&json!(project), &json!("reader"), 86));
        assert!(made.get("access_rules").is_none());
        let (token, body) = cloud.token(&by_credential(&made)).await.unwrap();
        assert_eq!((&body["methods"], &body["project"]["id"], body["roles"].as_array().unwrap().len()), (&json!(["application_credential"]), &json!(project), 1));
        assert_eq!(body["application_credential"], json!({"id": made["id"], "name": "a", "restricted": true}));
        let mut scoped = by_credential(&made);
        scoped["auth"]["scope"] = json!({"project": {"id": project}});
        let refused = cloud.anonymous().post(&format!("{V3}/auth/tokens"), &scoped).await;
        assert_eq!((refused.status, &refused.body["error"]["message"]), (401, &json!("Error authenticating with application credential: Application credentials cannot request a scope.")));
        let by_name = json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
            "name": "a", "secret": made["secret"], "user": {"name": "demo", "domain": {"id": "default"}},
        }}}});
        assert!(cloud.token(&by_name).await.is_ok());

        // It makes no others, unless it may.
        let program = cloud.anonymous().with_token(&token);
        assert_eq!(program.post(&format!("{V3}/{path}"), &json!({"application_credential": {"name": "b"}})).await.status, 403);
        assert_eq!(program.get(&format!("{V3}/{path}")).await.status, 200);
        let free = make(&demo, &path, "application_credential", json!({"name": "free", "unrestricted": true})).await;
        let (token, _) = cloud.token(&by_credential(&free)).await.unwrap();
        make(&cloud.anonymous().with_token(&token), &path, "application_credential", json!({"name": "c"})).await;

        for (body, status, text) in [
            (json!({"name": "a"}), 409, "Duplicate entry found with name a."),
            (json!({"name": "x", "roles": [{"name": "admin"}]}), 400, "Cannot create an application credential with unassigned role"),
            (json!({"name": "x", "expires_at": "2020-01-01T00:00:00"}), 400, "must not be before now"),
            (json!({"name": "x", "expires_at": "soon"}), 400, "Timestamp not in expected format"),
            (json!({}), 400, "'name' is a required property"),
        ] {
            let refused = demo.post(&format!("{V3}/{path}"), &json!({"application_credential": body})).await;
            assert!(refused.status == status && refused.body["error"]["message"].as_str().unwrap().contains(text), "{:?}", refused.body);
        }
        assert_eq!(admin.post(&format!("{V3}/{path}"), &json!({"application_credential": {"name": "x"}})).await.status, 403);
        let one = format!("{V3}/{path}/{}", id(&made));
        assert_eq!(demo.get(&one).await.body["application_credential"]["name"], "a");
        assert_eq!(demo.delete(&one).await.status, 204);
        assert_eq!(cloud.token(&by_credential(&made)).await, Err(401));
        // And with the role in the project the rest goes.
        let member = role(&admin, "member").await;
        assert_eq!(admin.delete(&format!("{V3}/projects/{project}/users/{user}/roles/{member}")).await.status, 204);
        assert_eq!(cloud.token(&by_credential(&free)).await, Err(401));
    }

    async fn access_rules_say_what_a_token_may_be_used_for_in_every_service(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (user, _) = who(&demo).await;
        let rules = json!([
            {"service": "compute", "method": "GET", "path": "/v2.1/servers"},
            {"service": "compute", "method": "GET", "path": "/compute/v2.1/flavors/*"},
        ]);
        let new = json!({"name": "a", "access_rules": rules});
        let made = make(&demo, &format!("users/{user}/application_credentials"), "application_credential", new).await;
        let (token, body) = cloud.token(&by_credential(&made)).await.unwrap();
        assert_eq!(body["application_credential"]["access_rules"].as_array().unwrap().len(), 2);
        let program = cloud.anonymous().with_token(&token);
        for (path, status) in [
            ("/compute/v2.1/servers", 200),
            ("/compute/v2.1/flavors/1", 200),
            ("/compute/v2.1/flavors", 401),
            ("/compute/v2.1/servers/detail", 401),
            ("/image/v2/images", 401),
            (&format!("{V3}/users/{user}"), 401),
        ] {
            assert_eq!(program.get(path).await.status, status, "{path}");
        }
        assert_eq!(program.post("/compute/v2.1/servers", &json!({})).await.status, 401);
        // To a service that does not know of such rules it is no token, or it would be let do everything.
        let admin = cloud.admin().await;
        for (knows, status) in [(None, 404), (Some("0.9"), 404), (Some("1.0"), 200)] {
            let mut headers = vec![("x-subject-token", token.as_str())];
            headers.extend(knows.map(|version| ("openstack-identity-access-rules", version)));
            let path = format!("{V3}/auth/tokens");
            let shown = admin.send_with(http::Method::GET, &path, axum::body::Body::empty(), &headers).await;
            assert_eq!(shown.status, status, "{knows:?}");
        }
        let all = format!("{V3}/users/{user}/access_rules");
        let list = demo.get(&all).await.body;
        let rule = format!("{all}/{}", id(&list["access_rules"][0]));
        let refused = demo.delete(&rule).await;
        assert_eq!((refused.status, &refused.body["error"]["message"]), (403, &json!("May not delete access rule in use")));
        assert_eq!(demo.delete(&format!("{V3}/users/{user}/application_credentials/{}", id(&made))).await.status, 204);
        assert_eq!((demo.delete(&rule).await.status, demo.get(&rule).await.status), (204, 404));
    }

    async fn a_trust_lets_one_act_for_another(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let ((trustor, project), (trustee, _)) = (who(&demo).await, who(&admin).await);
        let new = |more: Value| {
            let mut trust = json!({"trustor_user_id": trustor, "trustee_user_id": trustee, "impersonation": true, "project_id": project, "roles": [{"name": "reader"}]});
            trust.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            trust
        };
        let trust = make(&demo, "OS-TRUST/trusts", "trust", new(json!({"remaining_uses": 2, "expires_at": "2099-01-01T00:00:00.123Z"}))).await;
        assert_eq!((&trust["expires_at"], &trust["roles"][0]["name"]), (&json!("2099-01-01T00:00:00.123000Z"), &json!("reader")));
        let mut body = password("admin", PASSWORD, "");
        body["auth"]["scope"] = json!({"OS-TRUST:trust": {"id": trust["id"]}});
        let (token, shown) = cloud.token(&body).await.unwrap();
        assert_eq!((&shown["user"]["id"], &shown["project"]["id"], shown["roles"].as_array().unwrap().len()), (&json!(trustor), &json!(project), 1));
        assert_eq!(shown["OS-TRUST:trust"]["trustee_user"]["id"], trustee);
        // What is lent is not passed on.
        let lent = cloud.anonymous().with_token(&token);
        assert_eq!(lent.get("/compute/v2.1/servers").await.status, 200);
        assert_eq!(lent.get(&format!("{V3}/credentials")).await.status, 403);
        let renewed = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}});
        assert_eq!(cloud.token(&renewed).await, Err(403));
        assert_eq!((cloud.token(&body).await.is_ok(), cloud.token(&body).await), (true, Err(403)));

        for (client, body, status) in [
            (&admin, new(json!({})), 403),
            (&demo, new(json!({"roles": [{"name": "admin"}]})), 404),
            (&demo, new(json!({"roles": []})), 403),
            (&demo, new(json!({"expires_at": "bad"})), 400),
            (&demo, new(json!({"trustee_user_id": "nobody"})), 404),
        ] {
            let refused = client.post(&format!("{V3}/OS-TRUST/trusts"), &json!({"trust": body})).await;
            assert_eq!(refused.status, status, "{:?}", refused.body);
        }
        let path = format!("{V3}/OS-TRUST/trusts/{}", id(&trust));
        let reader = role(&admin, "reader").await;
        assert_eq!(demo.get(&format!("{path}/roles/{reader}")).await.status, 200);
        assert_eq!(demo.get(&format!("{path}/roles/none")).await.status, 404);
        assert_eq!(demo.get(&format!("{V3}/OS-TRUST/trusts?trustor_user_id={trustor}")).await.body["trusts"].as_array().unwrap().len(), 1);
        assert_eq!(demo.get(&format!("{V3}/OS-TRUST/trusts")).await.status, 403);
        assert_eq!(demo.delete(&path).await.status, 204);
        assert_eq!((lent.get("/compute/v2.1/servers").await.status, demo.get(&path).await.status), (401, 404));
    }

    async fn a_trust_is_passed_on_with_no_more_than_it_gives(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let ((trustor, project), (trustee, elsewhere)) = (who(&demo).await, who(&admin).await);
        let new = |more: Value| {
            let mut trust = json!({"trustor_user_id": trustor, "trustee_user_id": trustee, "impersonation": true, "project_id": project, "roles": [{"name": "reader"}]});
            trust.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            trust
        };
        let trusts = format!("{V3}/OS-TRUST/trusts");
        for (more, status, text) in [
            (json!({"allow_redelegation": true, "remaining_uses": 2}), 400, "remaining_uses must not be set if redelegation is allowed"),
            (json!({"allow_redelegation": true, "redelegation_count": 4}), 403, "Requested redelegation depth of 4 is greater than allowed 3"),
        ] {
            let refused = demo.post(&trusts, &json!({"trust": new(more)})).await;
            assert_eq!((refused.status, &refused.body["error"]["message"]), (status, &json!(text)));
        }

        // The trustor has a role in another project as well, which he has not lent.
        let reader = role(&admin, "reader").await;
        assert_eq!(admin.put(&format!("{V3}/projects/{elsewhere}/users/{trustor}/roles/{reader}"), &json!(null)).await.status, 204);
        let lent = async |more: Value| {
            let trust = make(&demo, "OS-TRUST/trusts", "trust", new(more)).await;
            let mut body = password("admin", PASSWORD, "");
            body["auth"]["scope"] = json!({"OS-TRUST:trust": {"id": trust["id"]}});
            cloud.token(&body).await.unwrap().0
        };
        let parent = json!({"allow_redelegation": true, "expires_at": "2099-01-01T00:00:00.000000Z"});
        let client = cloud.anonymous().with_token(&lent(parent.clone()).await);
        for (more, text) in [
            (json!({"project_id": elsewhere}), "Requested project is not that of the redelegated trust"),
            (json!({"roles": [{"name": "member"}]}), "Some of requested roles are not in redelegated trust"),
            (json!({"remaining_uses": 1}), "Field \"remaining_uses\" is set to 1 while it must not be set in order to redelegate a trust"),
            (json!({"expires_at": "2099-01-02T00:00:00.000000Z"}), "Requested expiration time is more than redelegated trust can provide"),
            (json!({"allow_redelegation": true, "redelegation_count": 3}), "Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this parameter is advised."),
        ] {
            let refused = client.post(&trusts, &json!({"trust": new(more)})).await;
            assert_eq!((refused.status, &refused.body["error"]["message"]), (403, &json!(text)));
        }
        for (allow, count) in [(true, 2), (false, 0)] {
            let passed_on = make(&client, "OS-TRUST/trusts", "trust", new(json!({"allow_redelegation": allow}))).await;
            assert_eq!((&passed_on["redelegation_count"], &passed_on["expires_at"]), (&json!(count), &parent["expires_at"]));
        }

        // Who speaks in his own name lets nobody speak in the trustor's.
        let mut more = parent;
        more["impersonation"] = json!(false);
        let client = cloud.anonymous().with_token(&lent(more).await);
        for (impersonation, status) in [(true, 403), (false, 201)] {
            let body = new(json!({"trustor_user_id": trustee, "impersonation": impersonation}));
            let answer = client.post(&trusts, &json!({"trust": body})).await;
            assert_eq!(answer.status, status, "{:?}", answer.body);
        }
    }

    async fn credentials_are_seen_by_their_user_alone(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let ((user, project), (other, _)) = (who(&demo).await, who(&admin).await);
        let made = make(&demo, "credentials", "credential", json!({"type": "totp", "blob": "x", "user_id": user})).await;
        make(&admin, "credentials", "credential", json!({"type": "cert", "blob": "y", "user_id": other})).await;
        let count = |body: Value| body["credentials"].as_array().unwrap().len();
        assert_eq!((count(demo.get(&format!("{V3}/credentials")).await.body), count(admin.get(&format!("{V3}/credentials")).await.body)), (1, 2));
        let path = format!("{V3}/credentials/{}", id(&made));
        assert_eq!(demo.patch(&path, &json!({"credential": {"blob": "z"}})).await.body["credential"]["blob"], "z");
        assert_eq!(demo.post(&format!("{V3}/credentials"), &json!({"credential": {"type": "a", "blob": "b", "user_id": other}})).await.status, 403);
        assert_eq!(demo.delete(&path).await.status, 204);

        let all = format!("{V3}/users/{user}/credentials/OS-EC2");
        let ec2 = demo.post(&all, &json!({"tenant_id": project})).await;
        assert_eq!((ec2.status, &ec2.body["credential"]["tenant_id"]), (201, &json!(project)));
        let access = ec2.body["credential"]["access"].as_str().unwrap().to_owned();
        assert_eq!(demo.get(&format!("{all}/{access}")).await.body["credential"]["secret"], ec2.body["credential"]["secret"]);
        assert_eq!(count(demo.get(&all).await.body), 1);
        let refused = demo.post(&format!("{V3}/credentials"), &json!({"credential": {"type": "ec2", "blob": "{}", "user_id": user}})).await;
        assert!(refused.body["error"]["message"].as_str().unwrap().contains("'project_id' is a required property"));
        assert_eq!((demo.delete(&format!("{all}/{access}")).await.status, demo.get(&format!("{all}/{access}")).await.status), (204, 404));
    }

    async fn a_service_learns_whose_a_signed_request_is_and_the_token_is_good_for_other_services_alone(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (user, project) = who(&demo).await;
        let key = |blob: Value| json!({"credential": {"type": "ec2", "blob": blob.to_string(), "user_id": user, "project_id": project}});
        let made = demo.post(&format!("{V3}/credentials"), &key(json!({"access": "key", "secret": "verysecret"}))).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let signed = |access: &str, signature: &str| json!({"credentials": {
            "access": access, "verb": "GET", "host": "ec2.example.org:8788", "path": "/services/Cloud", "body_hash": "", "headers": {},
            "params": {"SignatureVersion": "2", "Action": "X"}, "signature": signature,
        }});
        let right = "5aFhqJ0TdG3X1xQOEA1hHaFSp2D8GmlVYvb/1eP7GQQ=";
        let path = format!("{V3}/ec2tokens");
        assert_eq!(demo.post(&path, &signed("key", right)).await.status, 403);
        for (access, signature, status) in [("key", "AAAA", 401), ("key", "", 401), ("none", right, 404)] {
            assert_eq!(admin.post(&path, &signed(access, signature)).await.status, status, "{access} {signature}");
        }
        let answer = admin.post(&path, &signed("key", right)).await;
        let token = &answer.body["token"];
        assert_eq!((answer.status, &token["methods"], &token["user"]["id"], &token["project"]["id"]),
            (200, &json!(["ec2credential"]), &json!(user), &json!(project)));
        let lent = demo.with_token(answer.headers["x-subject-token"].to_str().unwrap());
        assert_eq!(lent.get("/compute/v2.1/servers").await.status, 200);
        for refused in ["auth/tokens", "auth/projects", "credentials"] {
            assert_eq!(lent.get(&format!("{V3}/{refused}")).await.status, 403, "{refused}");
        }
        // What says that it was lent is no key; and a text that S3's clients sign gives no token at all.
        for lender in ["trust_id", "app_cred_id", "access_token_id"] {
            let made = demo.post(&format!("{V3}/credentials"), &key(json!({"access": lender, "secret": "verysecret", lender: "x"}))).await;
            assert_eq!(made.status, 201);
            assert_eq!(admin.post(&path, &signed(lender, right)).await.status, 401, "{lender}");
        }
        let text = json!({"credentials": {"access": "key", "signature": "Nd1oHdHuZi1yGLH5wpbeTaE2P6E=",
            "token": "R0VUCgoKVGh1LCAxNyBOb3YgMjAwNSAxODo0OTo1OCBHTVQKL2J1Y2tldC8_PsOp"}});
        let answer = admin.post(&format!("{V3}/s3tokens"), &text).await;
        assert_eq!((answer.status, &answer.body["token"]["user"]["id"]), (200, &json!(user)));
        assert!(answer.headers.get("x-subject-token").is_none());
    }

    async fn a_token_of_an_application_credential_is_exchanged_for_no_other(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (user, _) = who(&demo).await;
        let path = format!("{V3}/users/{user}/application_credentials");
        let made = demo.post(&path, &json!({"application_credential": {"name": "robot"}})).await.body["application_credential"].clone();
        let log_in = json!({"auth": {"identity": {"methods": ["application_credential"],
            "application_credential": {"id": made["id"], "secret": made["secret"]}}}});
        let token = cloud.anonymous().post(&format!("{V3}/auth/tokens"), &log_in).await;
        assert_eq!(token.status, 201);
        let again = json!({"auth": {"identity": {"methods": ["token"],
            "token": {"id": token.headers["x-subject-token"].to_str().unwrap()}}}});
        let refused = cloud.anonymous().post(&format!("{V3}/auth/tokens"), &again).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body["error"]["message"].as_str().unwrap().contains("Using a delegated token"), "{:?}", refused.body);
    }
}
