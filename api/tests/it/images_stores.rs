//! Images in several stores.

use std::{path::PathBuf, time::Duration};

use axum::body::Body;
use http::Method;
use novella_common::{service::Shutdown, sql};
use novella_image::{ImageConfig, StoreConfig};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Answer, Client, Cloud, IMAGE};

const IMAGES: &str = "/image/v2/images";

/// The same cloud with the stores `a`, which is the default, and `b`.
fn with_stores(cloud: Cloud) -> Cloud {
    with_stores_and(cloud, ImageConfig::default())
}

fn with_stores_and(cloud: Cloud, config: ImageConfig) -> Cloud {
    let store = |id: &str| StoreConfig {
        id: id.to_owned(),
        description: (id == "b").then(|| "the other".to_owned()),
        url: Some(format!("file://{}", cloud.folder.path().join(id).display())),
        ..StoreConfig::default()
    };
    let stores = vec![store("a"), store("b")];
    cloud.with_images(ImageConfig { stores, upload_lease: Duration::from_secs(3), ..config })
}

fn files(cloud: &Cloud, store: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cloud.folder.path().join(store)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// How many files there are in each store.
fn counts(cloud: &Cloud) -> (usize, usize) {
    (files(cloud, "a").len(), files(cloud, "b").len())
}

/// Nothing can be written to this store any more, or it can again.
fn broken(cloud: &Cloud, store: &str, broken: bool) {
    let folder = cloud.folder.path().join(store);
    if broken {
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "no folder").unwrap();
    } else {
        std::fs::remove_file(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
    }
}

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["message"].as_str().unwrap_or_default())
}

async fn queued(client: &Client<'_>) -> String {
    let body = json!({"name": "i", "disk_format": "raw", "container_format": "bare"});
    let answer = client.post(IMAGES, &body).await;
    assert_eq!(answer.header("openstack-image-store-ids"), Some("a,b"));
    assert!(answer.header("openstack-image-import-methods").unwrap().ends_with("copy-image"));
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn put(client: &Client<'_>, path: &str, store: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", "application/octet-stream")];
    headers.extend(store.map(|store| ("x-image-meta-store", store)));
    client.send_with(Method::PUT, &format!("{IMAGES}/{path}"), Body::from("bytes"), &headers).await
}

async fn staged(client: &Client<'_>) -> String {
    let id = queued(client).await;
    assert_eq!(put(client, &format!("{id}/stage"), None).await.status, 204);
    id
}

async fn import(client: &Client<'_>, id: &str, method: &str, more: Value) -> Answer {
    let mut body = json!({"method": {"name": method}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post(&format!("{IMAGES}/{id}/import"), &body).await
}

async fn shown(client: &Client<'_>, id: &str) -> Value {
    client.get(&format!("{IMAGES}/{id}")).await.body
}

/// Waits for the end of an import.
async fn imported(client: &Client<'_>, id: &str) -> Value {
    let ended = async {
        loop {
            let tasks = client.get(&format!("{IMAGES}/{id}/tasks")).await.body;
            let all = tasks["tasks"].as_array().unwrap();
            if all.iter().all(|task| task["status"] == "success" || task["status"] == "failure") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap_or_else(|_| panic!("an import does not end"));
    shown(client, id).await
}

/// Waits until this many files are left: they are removed after it was said that they are.
async fn until_left(cloud: &Cloud, wanted: (usize, usize)) {
    let left = async {
        while counts(cloud) != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let left = tokio::time::timeout(Duration::from_secs(30), left).await;
    assert!(left.is_ok(), "{:?} instead of {wanted:?}", counts(cloud));
}

/// The status of a download, whose bytes are read to the end.
async fn download(cloud: &Cloud, client: &Client<'_>, id: &str) -> u16 {
    let request = http::Request::builder().uri(format!("{IMAGES}/{id}/file")).header("host", "cloud.test");
    let request = request.header("x-auth-token", client.token.as_deref().unwrap()).body(Body::empty()).unwrap();
    let answer = cloud.router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    assert!(status != 200 || bytes == "bytes");
    status
}

on_both! {
    async fn an_upload_comes_into_the_store_that_it_names(cloud: Cloud) {
        let cloud = with_stores(cloud);
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let stores = demo.get("/image/v2/info/stores").await.body;
        assert_eq!(stores, json!({"stores": [{"id": "a", "default": "true"}, {"id": "b", "description": "the other"}]}));
        let detail = admin.get("/image/v2/info/stores/detail").await.body;
        assert_eq!((&detail["stores"][1]["type"], &detail["stores"][1]["weight"]), (&json!("file"), &json!(0)));
        let (first, second) = (queued(&demo).await, queued(&demo).await);
        let refused = put(&demo, &format!("{first}/file"), Some("c")).await;
        assert_eq!(said(&refused), (400, "Store for identifier c not found"));
        assert_eq!(put(&demo, &format!("{first}/file"), Some("b")).await.status, 204);
        assert_eq!(put(&demo, &format!("{second}/file"), None).await.status, 204);
        assert_eq!((shown(&demo, &first).await["stores"].clone(), shown(&demo, &second).await["stores"].clone()), (json!("b"), json!("a")));
        assert_eq!(counts(&cloud), (1, 1));
        let list = demo.get(&format!("{IMAGES}?id=in:{first},{second}&sort_dir=asc")).await.body;
        assert_eq!((&list["images"][0]["stores"], &list["images"][1]["stores"]), (&json!("b"), &json!("a")));
        assert_eq!((download(&cloud, &demo, &first).await, download(&cloud, &demo, &second).await), (200, 200));
        // Those of a new cloud are where others are by default.
        assert_eq!(shown(&demo, IMAGE).await["stores"], "a");
        for id in [first, second] {
            assert_eq!(demo.delete(&format!("{IMAGES}/{id}")).await.status, 204);
        }
        assert_eq!(counts(&cloud), (0, 0));
    }

    async fn an_import_comes_into_the_stores_that_it_names(cloud: Cloud) {
        let cloud = with_stores(cloud);
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let all = staged(&demo).await;
        for (more, status, text) in [
            (json!({"all_stores": true, "stores": ["a"]}), 400, "All_stores parameter can't be used with x-image-meta-store header or stores parameter"),
            (json!({"stores": ["a", "c"]}), 409, "Store for identifier c not found"),
        ] {
            assert_eq!(said(&import(&demo, &all, "glance-direct", more).await), (status, text));
        }
        assert_eq!(import(&demo, &all, "glance-direct", json!({"all_stores": true})).await.status, 202);
        let image = imported(&demo, &all).await;
        assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &json!("a,b")));
        assert_eq!((&image["os_glance_importing_to_stores"], &image["os_glance_failed_import"]), (&json!(""), &json!("")));
        assert_eq!(image["checksum"], "4b3a6218bb3e3a7303e8a171a60fcf92");
        assert_eq!((counts(&cloud), download(&cloud, &demo, &all).await), ((1, 1), 200));

        // What was staged goes from where nobody wanted it.
        for (stores, count) in [(json!(["b"]), (1, 2)), (json!(["a"]), (2, 2))] {
            let id = staged(&demo).await;
            assert_eq!(import(&demo, &id, "glance-direct", json!({"stores": stores})).await.status, 202);
            let image = imported(&demo, &id).await;
            assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &stores[0]));
            assert_eq!(download(&cloud, &demo, &id).await, 200);
            until_left(&cloud, count).await;
        }

        let remove = async |client: &Client<'_>, store: &str| client.delete(&format!("/image/v2/stores/{store}/{all}")).await;
        assert_eq!(remove(&demo, "a").await.status, 403);
        assert_eq!(said(&remove(&admin, "c").await), (409, "The selected store c is not available on this node."));
        assert_eq!(remove(&admin, "a").await.status, 204);
        assert_eq!((shown(&demo, &all).await["stores"].clone(), download(&cloud, &demo, &all).await), (json!("b"), 200));
        until_left(&cloud, (1, 2)).await;
        assert!(said(&remove(&admin, "b").await).1.starts_with("Cannot delete image data from the only store containing it."));
    }

    async fn an_image_is_copied_to_further_stores_and_read_from_whichever_has_it(cloud: Cloud) {
        let cloud = with_stores(cloud);
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let id = queued(&demo).await;
        let early = import(&admin, &id, "copy-image", json!({"stores": ["b"]})).await;
        assert_eq!(said(&early), (409, "Only images with status active can be targeted for copying"));
        assert_eq!(put(&demo, &format!("{id}/file"), None).await.status, 204);
        assert_eq!(import(&demo, &id, "copy-image", json!({"stores": ["b"]})).await.status, 403);
        let present = import(&admin, &id, "copy-image", json!({"stores": ["a", "b"]})).await;
        assert_eq!(said(&present), (400, "Image is already present at store 'a'"));
        assert_eq!(import(&admin, &id, "copy-image", json!({"stores": ["b"]})).await.status, 202);
        let image = imported(&demo, &id).await;
        assert_eq!((&image["status"], &image["stores"], counts(&cloud)), (&json!("active"), &json!("a,b"), (1, 1)));
        // It is everywhere.
        assert_eq!(import(&admin, &id, "copy-image", json!({"all_stores": true})).await.status, 202);
        assert_eq!(demo.get(&format!("{IMAGES}/{id}/tasks")).await.body["tasks"].as_array().unwrap().len(), 1);
        // One of them is lost.
        std::fs::remove_file(&files(&cloud, "a")[0]).unwrap();
        assert_eq!(download(&cloud, &demo, &id).await, 200);
        std::fs::remove_file(&files(&cloud, "b")[0]).unwrap();
        assert_eq!(download(&cloud, &demo, &id).await, 503);
        assert_eq!(demo.delete(&format!("{IMAGES}/{id}")).await.status, 204);
        // Those of a new cloud are nowhere.
        assert_eq!(import(&admin, IMAGE, "copy-image", json!({"stores": ["b"]})).await.status, 409);
    }

    async fn a_store_that_fails_fails_the_import_or_is_left_out(cloud: Cloud) {
        let cloud = with_stores(cloud);
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let (all, some) = (staged(&demo).await, staged(&demo).await);
        broken(&cloud, "b", true);
        assert_eq!(import(&demo, &all, "glance-direct", json!({"all_stores": true})).await.status, 202);
        let image = imported(&demo, &all).await;
        assert_eq!((&image["status"], &image["os_glance_failed_import"]), (&json!("queued"), &json!("b")));
        assert_eq!((&image["size"], image.get("stores")), (&Value::Null, None));
        let more = json!({"all_stores": true, "all_stores_must_succeed": false});
        assert_eq!(import(&demo, &some, "glance-direct", more).await.status, 202);
        let image = imported(&demo, &some).await;
        assert_eq!((&image["status"], &image["stores"], &image["os_glance_failed_import"]), (&json!("active"), &json!("a"), &json!("b")));

        // A copy that fails leaves the image as it was.
        assert_eq!(import(&admin, &some, "copy-image", json!({"stores": ["b"]})).await.status, 202);
        let image = imported(&demo, &some).await;
        assert_eq!((&image["status"], &image["stores"], &image["os_glance_failed_import"]), (&json!("active"), &json!("a"), &json!("b")));
        broken(&cloud, "b", false);
        until_left(&cloud, (1, 0)).await;
        assert_eq!(import(&admin, &some, "copy-image", json!({"stores": ["b"]})).await.status, 202);
        let image = imported(&demo, &some).await;
        assert_eq!((&image["stores"], &image["os_glance_failed_import"]), (&json!("a,b"), &json!("")));
    }

    async fn what_is_fetched_comes_into_every_store_that_is_named(cloud: Cloud) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = axum::Router::new().route("/image", axum::routing::get(async || "bytes"));
        tokio::spawn(async { axum::serve(listener, files).await });
        let (web_download_hosts, web_download_ports) = (vec!["127.0.0.1".to_owned()], vec![port]);
        let cloud = with_stores_and(cloud, ImageConfig { web_download_hosts, web_download_ports, ..ImageConfig::default() });
        let demo = cloud.demo().await;
        for (path, more, status, stores, failed) in [
            ("image", json!({}), "active", Some("a"), ""),
            ("image", json!({"all_stores": true}), "active", Some("a,b"), ""),
            ("image", json!({"stores": ["b"]}), "active", Some("b"), ""),
            ("missing", json!({"all_stores": true}), "queued", None, "a"),
            ("missing", json!({"all_stores": true, "all_stores_must_succeed": false}), "queued", None, "a,b"),
        ] {
            let id = queued(&demo).await;
            let mut body = json!({"method": {"name": "web-download", "uri": format!("http://127.0.0.1:{port}/{path}")}});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(demo.post(&format!("{IMAGES}/{id}/import"), &body).await.status, 202, "{body}");
            let image = imported(&demo, &id).await;
            assert_eq!((image["status"].as_str(), image["stores"].as_str()), (Some(status), stores), "{body}");
            assert_eq!(image["os_glance_failed_import"], failed, "{body}");
            if status == "active" {
                assert_eq!(download(&cloud, &demo, &id).await, 200);
            }
        }
        until_left(&cloud, (2, 2)).await;
        // A store that fails is left out, and what is behind the URL comes into the next.
        broken(&cloud, "a", true);
        let id = queued(&demo).await;
        let method = json!({"name": "web-download", "uri": format!("http://127.0.0.1:{port}/image")});
        let body = json!({"method": method, "all_stores": true, "all_stores_must_succeed": false});
        assert_eq!(demo.post(&format!("{IMAGES}/{id}/import"), &body).await.status, 202);
        let image = imported(&demo, &id).await;
        assert_eq!((&image["status"], &image["stores"], &image["os_glance_failed_import"]), (&json!("active"), &json!("b"), &json!("a")));
    }

    async fn an_import_whose_process_is_gone_is_ended(cloud: Cloud) {
        let cloud = with_stores(cloud);
        let demo = cloud.demo().await;
        let (copied, staged) = (queued(&demo).await, staged(&demo).await);
        assert_eq!(put(&demo, &format!("{copied}/file"), None).await.status, 204);
        // As a process leaves them that was killed in the middle of copying into `b`.
        for (id, status) in [(&copied, "active"), (&staged, "importing")] {
            let task = uuid::Uuid::new_v4().to_string();
            let properties = json!({"os_glance_import_task": task, "os_glance_importing_to_stores": "b", "os_glance_failed_import": ""});
            cloud.execute(sql!("INSERT INTO image_objects (id, image_id, store, state) VALUES ("(uuid::Uuid::new_v4())", "(id)", 'b', 'writing')")).await;
            cloud.execute(sql!("UPDATE images SET status = "(status)", properties = "(novella_common::db::Json(properties))" WHERE id = "(id))).await;
            cloud.execute(sql!(
                "INSERT INTO image_tasks (id, type, status, image_id, input, result, message, created_at, updated_at) VALUES ("
                (task) ", 'api_image_import', 'processing', " (id) ", '{}', 'null', '', " (jiff::Timestamp::now()) ", "
                (jiff::Timestamp::now()) ")"
            ))
            .await;
        }
        let shutdown = Shutdown::new();
        cloud.images().sweep(&shutdown);
        for (id, status, stores) in [(&copied, "active", Some("a")), (&staged, "queued", None)] {
            let image = imported(&demo, id).await;
            assert_eq!((image["status"].as_str(), image["stores"].as_str()), (Some(status), stores));
            assert_eq!((&image["os_glance_importing_to_stores"], &image["os_glance_failed_import"]), (&json!(""), &json!("b")));
        }
        until_left(&cloud, (1, 0)).await;
        shutdown.request();
        assert!(shutdown.finished(Duration::from_secs(10)).await);
    }
}
