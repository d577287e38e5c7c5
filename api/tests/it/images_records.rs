//! Records of images: made, changed, listed, shared and deleted.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud, PASSWORD};

const IMAGES: &str = "/image/v2/images";
const PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// The text of an error of the Image API.
fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["message"].as_str().unwrap_or_default())
}

async fn change(client: &Client<'_>, id: &str, changes: Value) -> Answer {
    let headers = [("content-type", PATCH)];
    client.send_with(Method::PATCH, &format!("{IMAGES}/{id}"), Body::from(changes.to_string()), &headers).await
}

async fn made(client: &Client<'_>, body: Value) -> String {
    let answer = client.post(IMAGES, &body).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

/// A user in a project of his own, both of this name.
async fn other<'c>(cloud: &'c Cloud, name: &str) -> (Client<'c>, String) {
    let admin = cloud.admin().await;
    let project =
        admin.post("/identity/v3/projects", &json!({"project": {"name": name}})).await.body["project"]["id"].clone();
    let user = json!({"user": {"name": name, "password": PASSWORD}});
    let user = admin.post("/identity/v3/users", &user).await.body["user"]["id"].clone();
    let role = admin.get("/identity/v3/roles?name=member").await.body["roles"][0]["id"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let path = format!("/identity/v3/projects/{}/users/{}/roles/{}", text(&project), text(&user), text(&role));
    assert_eq!(admin.send(Method::PUT, &path, Body::empty()).await.status, 204);
    (cloud.login(name, name).await, text(&project))
}

async fn names(client: &Client<'_>, query: &str) -> String {
    let answer = client.get(&format!("{IMAGES}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
    let images = answer.body["images"].as_array().unwrap();
    images.iter().map(|image| image["name"].as_str().unwrap_or("-")).collect::<Vec<_>>().join(" ")
}

on_both! {
    async fn an_image_is_made_changed_and_deleted(cloud: Cloud) {
        let demo = cloud.demo().await;
        let id = "5eadf00d-0000-4000-8000-000000000001";
        let body = json!({"id": id, "name": "mine", "disk_format": "raw", "container_format": "bare", "tags": ["b", "a", "b"],
            "min_disk": 3, "os_distro": "debian", "owner_specified.openstack.object": "images/mine"});
        let answer = demo.post(IMAGES, &body).await;
        assert_eq!(answer.header("location"), Some(format!("http://cloud.test{IMAGES}/{id}").as_str()));
        assert_eq!(answer.header("openstack-image-import-methods"), Some("glance-direct"));
        insta::assert_json_snapshot!("made_image", answer.body, {
            ".created_at" => "[time]", ".updated_at" => "[time]", ".owner" => "[project]" });
        assert_eq!(said(&demo.post(IMAGES, &json!({"id": id})).await), (409, format!("Image ID {id} already exists!").as_str()));

        let changes = json!([
            {"op": "add", "path": "/name", "value": "ours"},
            {"op": "replace", "path": "/os_distro", "value": "ubuntu"},
            {"op": "add", "path": "/with~1slash", "value": "x"},
            {"op": "remove", "path": "/owner_specified.openstack.object"},
            {"op": "replace", "path": "/tags", "value": ["c"]},
            {"op": "replace", "path": "/protected", "value": true},
        ]);
        let answer = change(&demo, id, changes).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let shown = demo.get(&format!("{IMAGES}/{id}")).await.body;
        assert_eq!(shown, answer.body);
        assert_eq!((&shown["name"], &shown["os_distro"], &shown["with/slash"]), (&json!("ours"), &json!("ubuntu"), &json!("x")));
        assert_eq!((shown.get("owner_specified.openstack.object"), &shown["tags"]), (None, &json!(["c"])));

        // All or nothing.
        let half = json!([{"op": "add", "path": "/name", "value": "no"}, {"op": "remove", "path": "/nothing"}]);
        assert_eq!(said(&change(&demo, id, half).await), (409, "Property nothing does not exist."));
        assert_eq!(demo.get(&format!("{IMAGES}/{id}")).await.body, shown);

        let path = format!("{IMAGES}/{id}");
        let protected = format!("Image {id} is protected and cannot be deleted.");
        assert_eq!(said(&demo.delete(&path).await), (403, protected.as_str()));
        assert_eq!(change(&demo, id, json!([{"op": "replace", "path": "/protected", "value": false}])).await.status, 200);
        assert_eq!(demo.delete(&path).await.status, 204);
        assert_eq!(said(&demo.delete(&path).await), (404, format!("Failed to find image {id} to delete").as_str()));
        assert_eq!(said(&demo.get(&path).await), (404, format!("No image found with ID {id}").as_str()));
        // Its id is never given again.
        assert_eq!(demo.post(IMAGES, &json!({"id": id})).await.status, 409);
    }

    async fn what_can_not_be_done_to_a_record_is_said_in_glances_words(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let id = made(&demo, json!({"name": "i", "foo": "bar"})).await;
        for (body, status, text) in [
            (json!({"disk_format": "bogus"}), 400, "Provided object does not match schema 'image': 'bogus' is not one of [None, 'ami',"),
            (json!({"foo": 5}), 400, "Provided object does not match schema 'image': 5 is not of type 'string'"),
            (json!({"min_disk": -1}), 400, "Invalid value '-1' for parameter 'min_disk': Cannot be a negative value"),
            (json!({"owner": "somebody"}), 403, "You are not permitted to create images owned by 'somebody'"),
            (json!({"visibility": "public"}), 403, "You are not authorized to complete publicize_image action."),
            (json!({"os_glance_x": "y"}), 403, "Attribute 'os_glance_x' is reserved."),
            (json!({"location": "y"}), 403, "Attribute 'location' is reserved."),
            (json!({"size": 5}), 403, "Attribute 'size' is read-only."),
            (json!({"self": "x"}), 403, "Attribute 'self' is read-only."),
            (json!({"x".repeat(256): "y"}), 400, "Custom property should not be greater than 255 characters."),
        ] {
            let answer = demo.post(IMAGES, &body).await;
            assert_eq!((answer.status, said(&answer).1.contains(text)), (status, true), "{body}: {:?}", answer.body);
        }
        let many: serde_json::Map<String, Value> = (0..129).map(|n| (format!("p{n}"), json!("x"))).collect();
        let answer = demo.post(IMAGES, &Value::Object(many)).await;
        assert_eq!(said(&answer), (413, "The limit has been exceeded on the number of allowed image properties. Attempted: 129, Maximum: 128"));
        assert_eq!(said(&demo.send(Method::POST, IMAGES, Body::empty()).await), (400, "Body expected in request."));
        assert_eq!(said(&demo.send(Method::POST, IMAGES, Body::from("{")).await), (400, "Malformed JSON in request body."));
        for (one, status, text) in [
            (json!({"op": "replace", "path": "/status", "value": "active"}), 403, "Attribute 'status' is read-only."),
            (json!({"op": "remove", "path": "/name"}), 403, "Property name may not be removed."),
            (json!({"op": "replace", "path": "/bar", "value": "x"}), 409, "Property bar does not exist."),
            (json!({"op": "add", "path": "/visibility", "value": "public"}), 403, "You are not authorized to complete publicize_image action."),
            (json!({"op": "add", "path": "/owner", "value": "x"}), 403, "Owner can't be updated by non admin."),
            (json!({"op": "replace", "path": "/locations", "value": []}), 403, "Cannot set locations to empty list."),
            (json!({"op": "add", "path": "/os_glance_x", "value": "x"}), 403, "Attribute 'os_glance_x' is reserved."),
            (json!({"op": "bad", "path": "/name"}), 400, "Invalid operation: `bad`. It must be one of the following: add, remove, replace."),
        ] {
            assert_eq!(said(&change(&demo, &id, json!([one])).await), (status, text), "{one}");
        }
        let other_form = demo.patch(&format!("{IMAGES}/{id}"), &json!([])).await;
        assert_eq!(other_form.status, 415);
        assert_eq!(other_form.header("accept-patch"), Some(format!("application/openstack-images-v2.0-json-patch, {PATCH}").as_str()));
        let old = [("content-type", "application/openstack-images-v2.0-json-patch")];
        let body = Body::from(json!([{"add": "/foo", "value": "x"}]).to_string());
        let answer = demo.send_with(Method::PATCH, &format!("{IMAGES}/{id}"), body, &old).await;
        assert_eq!(said(&answer), (409, "Property foo already present."));

        // What is another project's is nobody else's to know, and what everybody sees is not everybody's to change.
        let (stranger, _) = other(&cloud, "stranger").await;
        for answer in [
            stranger.get(&format!("{IMAGES}/{id}")).await,
            change(&stranger, &id, json!([{"op": "add", "path": "/name", "value": "x"}])).await,
        ] {
            assert_eq!(said(&answer), (404, format!("No image found with ID {id}").as_str()));
        }
        assert_eq!(stranger.delete(&format!("{IMAGES}/{id}")).await.status, 404);
        let public = json!([{"op": "add", "path": "/visibility", "value": "public"}]);
        assert_eq!(change(&admin, &id, public).await.status, 200);
        assert_eq!(stranger.get(&format!("{IMAGES}/{id}")).await.status, 200);
        let refused = "You are not authorized to complete delete_image action.";
        assert_eq!(said(&stranger.delete(&format!("{IMAGES}/{id}")).await), (403, refused));
        let answer = change(&stranger, &id, json!([{"op": "add", "path": "/name", "value": "x"}])).await;
        assert_eq!(said(&answer), (403, "You are not authorized to complete modify_image action."));
    }

    async fn a_list_is_narrowed_down_sorted_and_read_by_pages(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        for (name, more) in [
            ("a", json!({"disk_format": "raw", "tags": ["t", "u"], "colour": "red"})),
            ("b", json!({"disk_format": "iso", "tags": ["t"], "min_ram": 7})),
            ("c,d", json!({"disk_format": "raw", "protected": true, "visibility": "private"})),
            ("hidden", json!({"os_hidden": true})),
            ("community", json!({"visibility": "community"})),
        ] {
            let mut body = more;
            body["name"] = json!(name);
            made(&demo, body).await;
        }
        made(&demo, json!({})).await;
        let (stranger, _) = other(&cloud, "stranger").await;
        const OWN: &str = "sort=name:asc&status=queued";
        for (query, expected) in [
            ("", "- a b c,d community"),
            ("&name=b", "b"),
            ("&name=in:b,%22c,d%22", "b c,d"),
            ("&name=eq:b", "b"),
            ("&disk_format=in:raw,iso", "a b c,d"),
            ("&tag=t", "a b"),
            ("&tag=t&tag=u", "a"),
            ("&colour=red", "a"),
            ("&colour=blue", ""),
            ("&nobody_has_this=x", ""),
            ("&min_ram=7", "b"),
            ("&min_ram_min=7", "b"),
            ("&min_ram_max=6&name=in:a,b", "a"),
            ("&protected=true", "c,d"),
            ("&visibility=private", "c,d"),
            ("&visibility=community", "community"),
            ("&os_hidden=True", "hidden"),
            ("&created_at=gt:2020-01-01T00:00:00Z&name=a", "a"),
            ("&created_at=lt:2020-01-01T00:00:00Z", ""),
            ("&updated_at=neq:2020-01-01T00:00:00Z&name=a", "a"),
            ("&size=x", ""),
        ] {
            assert_eq!(names(&demo, &format!("{OWN}{query}")).await, expected, "{query}");
        }
        let created = demo.get(&format!("{IMAGES}?name=a")).await.body["images"][0]["created_at"].as_str().unwrap().to_owned();
        assert_eq!(names(&demo, &format!("created_at={created}&name=a")).await, "a");
        assert_eq!(names(&demo, &format!("created_at=gt:{created}&name=a")).await, "");
        assert_eq!(names(&demo, &format!("created_at=gte:{created}&name=a")).await, "a");
        // Of others, what is for whoever asks for it is shown to whoever asks for it.
        assert_eq!(names(&stranger, OWN).await, "");
        assert_eq!(names(&stranger, &format!("{OWN}&visibility=community")).await, "community");
        assert_eq!(names(&stranger, &format!("{OWN}&visibility=all")).await, "community");
        assert_eq!(names(&admin, OWN).await, "- a b c,d");

        let mut seen = Vec::new();
        let mut next = Some(format!("/v2/images?{OWN}&limit=2"));
        while let Some(path) = next {
            let page = demo.get(&format!("/image{path}")).await;
            seen.extend(page.body["images"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap_or("-").to_owned()));
            next = page.body["next"].as_str().map(ToOwned::to_owned);
        }
        assert_eq!(seen.join(" "), "- a b c,d community");
        for (query, text) in [
            ("limit=-1", "limit param must be positive"),
            ("limit=x", "limit param must be an integer"),
            ("marker=nothing", "No image found with ID nothing"),
            ("sort=name&sort_key=id", "Old and new sorting syntax cannot be combined"),
            ("visibility=x", "Invalid visibility value: x"),
            ("member_status=x", "Invalid status: x"),
            ("name=gt:x", "Unable to filter by unknown operator 'gt'."),
            ("size_min=x", "Unable to filter on a range with a non-numeric value."),
            ("created_at=x", "Bad \"created_at\" query filter format. Use ISO 8601 DateTime notation."),
            ("os_hidden=x", "Invalid value 'x' for 'os_hidden' filter. Valid values are 'true' or 'false'."),
            ("protected=True", "Invalid value 'True' for 'protected' filter. Valid values are 'true' or 'false'."),
            ("changes-since=2020", "The \"changes-since\" filter is no longer available on v2."),
        ] {
            assert_eq!(said(&demo.get(&format!("{IMAGES}?{query}")).await), (400, text), "{query}");
        }
        assert_eq!(demo.get(&format!("{IMAGES}?limit=0")).await.body, json!({"images": [], "first": "/v2/images?limit=0", "schema": "/v2/schemas/images"}));
    }

    async fn an_image_is_shared_with_a_project_that_says_whether_it_wants_it(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (member, project) = other(&cloud, "member").await;
        let (stranger, _) = other(&cloud, "stranger").await;
        let id = made(&demo, json!({"name": "shared"})).await;
        let (image, members) = (format!("{IMAGES}/{id}"), format!("{IMAGES}/{id}/members"));
        let own = format!("{members}/{project}");
        assert_eq!(member.get(&image).await.status, 404);
        let added = demo.post(&members, &json!({"member": project})).await;
        assert_eq!((added.status, &added.body["status"], &added.body["schema"]), (200, &json!("pending"), &json!("/v2/schemas/member")));
        assert_eq!(said(&demo.post(&members, &json!({"member": project})).await), (409, format!("Member {project} is duplicated for image {id}").as_str()));
        assert_eq!(said(&demo.post(&members, &json!({})).await), (400, "Member to be added not specified"));
        assert_eq!(said(&demo.post(&members, &json!({"member": ""})).await), (400, "Member can't be empty"));

        // At once by its id, in lists when it is wanted.
        assert_eq!(member.get(&image).await.status, 200);
        assert_eq!(names(&member, "visibility=shared").await, "");
        assert_eq!(names(&member, "visibility=shared&member_status=pending").await, "shared");
        let refused = "You are not authorized to complete modify_member action.";
        assert_eq!(said(&demo.put(&own, &json!({"status": "accepted"})).await), (403, refused));
        let wrong = "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".";
        assert_eq!(said(&member.put(&own, &json!({"status": "x"})).await), (400, wrong));
        assert_eq!(member.put(&own, &json!({"status": "accepted"})).await.body["status"], "accepted");
        assert_eq!(names(&member, "visibility=shared").await, "shared");
        assert_eq!(stranger.get(&members).await.status, 404);

        // A member sees itself, and changes nothing else.
        assert_eq!(demo.post(&members, &json!({"member": "another"})).await.status, 200);
        assert_eq!(demo.get(&members).await.body["members"].as_array().unwrap().len(), 2);
        assert_eq!(member.get(&members).await.body["members"].as_array().unwrap().len(), 1);
        assert_eq!(member.get(&format!("{members}/another")).await.status, 404);
        assert_eq!(member.delete(&image).await.status, 403);
        assert_eq!(said(&member.post(&members, &json!({"member": "x"})).await), (403, "You are not authorized to complete add_member action."));
        assert_eq!(demo.delete(&own).await.status, 204);
        assert_eq!(member.get(&image).await.status, 404);
        assert_eq!(said(&demo.delete(&own).await), (404, format!("{project} not found in the member list of the image {id}.").as_str()));

        let private = made(&demo, json!({"visibility": "private"})).await;
        let members = format!("{IMAGES}/{private}/members");
        assert_eq!(said(&demo.get(&members).await), (403, format!("Not allowed to list members for image {private}: Only shared images have members.").as_str()));
        assert_eq!(said(&demo.post(&members, &json!({"member": "x"})).await), (403, format!("Not allowed to create members for image {private}.").as_str()));
    }

    async fn tags_and_the_word_on_who_gets_the_bytes_are_given_and_taken(cloud: Cloud) {
        let demo = cloud.demo().await;
        let id = made(&demo, json!({"name": "i"})).await;
        let tag = |tag: &str| format!("{IMAGES}/{id}/tags/{tag}");
        for _ in 0..2 {
            assert_eq!(demo.send(Method::PUT, &tag("a"), Body::empty()).await.status, 204);
        }
        assert_eq!(demo.get(&format!("{IMAGES}/{id}")).await.body["tags"], json!(["a"]));
        assert_eq!(demo.send(Method::PUT, &tag(&"x".repeat(256)), Body::empty()).await.status, 400);
        assert_eq!((demo.delete(&tag("a")).await.status, demo.delete(&tag("a")).await.status), (204, 404));
        for verb in ["deactivate", "reactivate"] {
            let answer = demo.send(Method::POST, &format!("{IMAGES}/{id}/actions/{verb}"), Body::empty()).await;
            assert_eq!(said(&answer), (403, format!("Not allowed to {verb} image in status 'queued'").as_str()));
        }
    }

    async fn schemas_versions_and_what_there_is_are_shown(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        for name in ["image", "images", "member", "members", "task", "tasks", "metadefs/namespace", "metadefs/tags"] {
            let answer = demo.get(&format!("/image/v2/schemas/{name}")).await;
            assert_eq!((answer.status, answer.body["name"].is_string()), (200, true), "{name}");
        }
        assert_eq!(demo.get("/image/v2/schemas/nothing").await.status, 404);
        let versions = cloud.anonymous().get("/image").await;
        let current = versions.body["versions"].as_array().unwrap().iter().find(|v| v["status"] == "CURRENT").unwrap().clone();
        assert_eq!((versions.status, &current["id"]), (300, &json!("v2.17")));
        assert_eq!(cloud.anonymous().get("/image/versions").await.status, 200);
        assert_eq!(demo.get("/image/v2/info/import").await.body["import-methods"]["value"], json!(["glance-direct"]));
        assert_eq!(demo.get("/image/v2/info/stores").await.body, json!({"stores": [{"id": "default", "default": "true"}]}));
        assert_eq!(demo.get("/image/v2/info/stores/detail").await.status, 403);
        assert_eq!(admin.get("/image/v2/info/stores/detail").await.body["stores"][0]["type"], "file");
        assert_eq!(demo.get("/image/v2/tasks").await.status, 403);
        assert_eq!(admin.get("/image/v2/tasks").await.body["tasks"], json!([]));
        let import = json!({"type": "import", "input": {"import_from": "http://[::1", "import_from_format": "raw", "image_properties": {}}});
        assert_eq!(admin.post("/image/v2/tasks", &import).await.status, 400);
        assert_eq!(admin.delete("/image/v2/tasks/x").await.status, 405);
    }

    async fn metadata_definitions_are_kept_with_their_parts(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        const ALL: &str = "/image/v2/metadefs/namespaces";
        let types = demo.get("/image/v2/metadefs/resource_types").await.body;
        assert_eq!(types["resource_types"][0]["name"], "OS::Glance::Image");
        assert_eq!(demo.post(ALL, &json!({"namespace": "n"})).await.status, 403);
        let body = json!({"namespace": "n", "visibility": "public", "protected": true, "tags": [{"name": "t"}],
            "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "p_"}],
            "properties": {"p": {"title": "P", "type": "integer"}},
            "objects": [{"name": "o", "properties": {"a": {"title": "A", "type": "string"}}}]});
        let made = admin.post(ALL, &body).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        assert_eq!(said(&admin.post(ALL, &body).await), (409, "The metadata definition namespace=n already exists."));
        let one = demo.get(&format!("{ALL}/n")).await.body;
        assert_eq!((&one["tags"], &one["properties"]), (&json!([{"name": "t"}]), &json!({"p": {"title": "P", "type": "integer"}})));
        assert_eq!(one["objects"][0]["self"], "/v2/metadefs/namespaces/n/objects/o");
        assert_eq!(said(&admin.delete(&format!("{ALL}/n")).await), (403, "Metadata definition namespace n is protected and cannot be deleted."));
        assert_eq!(admin.put(&format!("{ALL}/n"), &json!({"namespace": "m", "protected": false})).await.body["visibility"], "private");
        assert_eq!(demo.get(&format!("{ALL}/m")).await.status, 404);
        assert_eq!(demo.get(ALL).await.body["namespaces"], json!([]));
        assert_eq!(admin.get(&format!("{ALL}?resource_types=OS::Glance::Image")).await.body["namespaces"][0]["namespace"], "m");

        for (kind, first, renamed) in [
            ("objects", json!({"name": "x", "description": "d"}), json!({"name": "y"})),
            ("properties", json!({"name": "x", "title": "T", "type": "string"}), json!({"name": "y", "title": "T", "type": "string"})),
        ] {
            let path = format!("{ALL}/m/{kind}");
            assert_eq!((admin.post(&path, &first).await.status, admin.post(&path, &first).await.status), (201, 409), "{kind}");
            assert_eq!(admin.post(&path, &json!({"name": "z", "unknown": 1})).await.status, 400, "{kind}");
            assert_eq!(admin.put(&format!("{path}/x"), &renamed).await.body["name"], "y", "{kind}");
            assert_eq!((admin.get(&format!("{path}/x")).await.status, admin.get(&format!("{path}/y")).await.status), (404, 200));
            assert_eq!((admin.delete(&format!("{path}/y")).await.status, admin.delete(&format!("{path}/y")).await.status), (204, 404));
            assert_eq!((demo.delete(&path).await.status, admin.delete(&path).await.status), (403, 204));
        }
        let tags = format!("{ALL}/m/tags");
        assert_eq!(admin.post(&tags, &json!({"tags": [{"name": "a"}, {"name": "b"}]})).await.status, 201);
        assert_eq!(admin.send(Method::POST, &format!("{tags}/c"), Body::empty()).await.status, 201);
        assert_eq!(admin.get(&format!("{tags}?limit=1&marker=a")).await.body["tags"], json!([{"name": "b"}]));
        assert_eq!(admin.put(&format!("{tags}/c"), &json!({"name": "d"})).await.body["name"], "d");
        let types = format!("{ALL}/m/resource_types");
        assert_eq!(admin.post(&types, &json!({"name": "OS::Mine"})).await.status, 201);
        assert_eq!(admin.get("/image/v2/metadefs/resource_types").await.body["resource_types"][6]["name"], "OS::Mine");
        assert_eq!(admin.delete(&format!("{types}/OS::Mine")).await.status, 204);
        assert_eq!((admin.delete(&format!("{ALL}/m")).await.status, admin.get(&format!("{ALL}/m/tags")).await.status), (204, 404));
    }

    async fn what_is_not_there_is_answered_as_by_a_glance_that_has_it_not(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        assert_eq!(demo.get("/image/v2/cache").await.status, 403);
        for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PUT, "/x"), (Method::POST, "/clean"), (Method::GET, "/nodes/x")] {
            let answer = admin.send(method, &format!("/image/v2/cache{path}"), Body::empty()).await;
            assert_eq!(said(&answer), (404, "Caching via API is not supported at this site."));
        }
        let id = made(&demo, json!({})).await;
        let path = format!("{IMAGES}/{id}/locations");
        assert_eq!((demo.get(&path).await.status, admin.get(&path).await.body), (403, json!([])));
        let refused = "http store must be enabled to use location API by normal user.";
        assert_eq!(said(&demo.post(&path, &json!({"url": "http://x/"})).await), (403, refused));
    }
}
