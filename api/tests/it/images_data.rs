//! The bytes of images: uploaded, staged, imported and read.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{
    StreamExt, future,
    stream::{self, FuturesUnordered},
};
use http::{Method, request::Request};
use novella_api::ApiConfig;
use novella_common::{service::Shutdown, sql};
use novella_image::ImageConfig;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tower::ServiceExt;

use crate::support::{Answer, Client, Cloud, On};

const IMAGES: &str = "/image/v2/images";
const BYTES: [(&str, &str); 1] = [("content-type", "application/octet-stream")];

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["message"].as_str().unwrap_or_default())
}

/// A record of an image that is said to be of this format.
async fn queued(client: &Client<'_>, disk_format: &str) -> String {
    let body = json!({"name": "i", "disk_format": disk_format, "container_format": "bare"});
    client.post(IMAGES, &body).await.body["id"].as_str().unwrap().to_owned()
}

async fn upload(client: &Client<'_>, id: &str, body: impl Into<Body>) -> Answer {
    client.send_with(Method::PUT, &format!("{IMAGES}/{id}/file"), body.into(), &BYTES).await
}

async fn shown(client: &Client<'_>, id: &str) -> Value {
    client.get(&format!("{IMAGES}/{id}")).await.body
}

/// Status, headers and bytes of a download.
async fn download(cloud: &Cloud, client: &Client<'_>, id: &str, range: Option<&str>) -> (u16, http::HeaderMap, Bytes) {
    let mut request = Request::builder().uri(format!("{IMAGES}/{id}/file")).header("host", "cloud.test");
    request = request.header("x-auth-token", client.token.as_deref().unwrap());
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let answer = cloud.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    (parts.status.as_u16(), parts.headers, axum::body::to_bytes(body, usize::MAX).await.unwrap())
}

/// A body that comes as somebody sends it.
fn slow_body() -> (UnboundedSender<Result<Bytes, std::io::Error>>, Body) {
    let (sender, receiver) = unbounded_channel();
    let bytes = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    (sender, Body::from_stream(bytes))
}

/// Waits until an image has this status.
async fn becomes(client: &Client<'_>, id: &str, status: &str) -> Value {
    let seen = async {
        loop {
            let image = shown(client, id).await;
            if image["status"] == status {
                return image;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap_or_else(|_| panic!("it does not become {status}"))
}

/// The files in the store.
fn stored(cloud: &Cloud) -> usize {
    std::fs::read_dir(cloud.folder.path()).unwrap().count()
}

fn qcow2(backing_file: u64) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[..4].copy_from_slice(b"QFI\xfb");
    bytes[7] = 3;
    bytes[8..16].copy_from_slice(&backing_file.to_be_bytes());
    bytes[24..32].copy_from_slice(&(5u64 << 30).to_be_bytes());
    bytes
}

on_both! {
    async fn bytes_are_uploaded_once_hashed_and_read_whole_and_in_part(cloud: Cloud) {
        let demo = cloud.demo().await;
        let id = queued(&demo, "raw").await;
        assert_eq!(download(&cloud, &demo, &id, None).await.0, 204);
        // Of more than one piece, and not of whole ones.
        let bytes: Vec<u8> = (0..3_000_001u32).map(|n| (n % 251) as u8).collect();
        assert_eq!(upload(&demo, &id, bytes.clone()).await.status, 204);
        let image = shown(&demo, &id).await;
        assert_eq!((&image["status"], &image["size"], &image["virtual_size"]), (&json!("active"), &json!(3_000_001), &json!(3_000_001)));
        assert_eq!((&image["stores"], &image["os_hash_algo"]), (&json!("default"), &json!("sha512")));
        let (status, headers, found) = download(&cloud, &demo, &id, None).await;
        assert_eq!((status, found == bytes, headers["content-length"].to_str().unwrap()), (200, true, "3000001"));
        assert_eq!(headers["content-md5"].to_str().unwrap(), image["checksum"].as_str().unwrap());
        let (status, headers, found) = download(&cloud, &demo, &id, Some("bytes=2999990-")).await;
        assert_eq!((status, &found[..]), (206, &bytes[2_999_990..]));
        assert_eq!(headers["content-range"], "bytes 2999990-3000000/3000001");
        assert_eq!(download(&cloud, &demo, &id, Some("bytes=4000000-")).await.0, 416);
        let again = upload(&demo, &id, "x").await;
        assert_eq!(said(&again), (409, "Image status transition from active to saving is not allowed"));
        assert_eq!(stored(&cloud), 1);

        let empty = queued(&demo, "raw").await;
        assert_eq!(upload(&demo, &empty, Body::empty()).await.status, 204);
        assert_eq!((&shown(&demo, &empty).await["size"], download(&cloud, &demo, &empty, None).await.2.len()), (&json!(0), 0));
        assert_eq!(shown(&demo, &empty).await["checksum"], "d41d8cd98f00b204e9800998ecf8427e");

        for image in [&id, &empty] {
            assert_eq!(demo.delete(&format!("{IMAGES}/{image}")).await.status, 204);
        }
        assert_eq!(stored(&cloud), 0);
        let unsaid = demo.post(IMAGES, &json!({})).await.body["id"].as_str().unwrap().to_owned();
        let text = "Properties disk_format, container_format must be set prior to saving data.";
        assert_eq!(said(&upload(&demo, &unsaid, "x").await), (400, text));
        let other_form = demo.put(&format!("{IMAGES}/{unsaid}/file"), &json!({})).await;
        assert_eq!(other_form.status, 415);
    }

    async fn of_two_uploads_at_once_one_wins(cloud: Cloud) {
        let demo = cloud.demo().await;
        let id = queued(&demo, "raw").await;
        let (sender, body) = slow_body();
        let (first, second) = future::join(upload(&demo, &id, body), async {
            becomes(&demo, &id, "saving").await;
            let second = upload(&demo, &id, "second").await;
            sender.send(Ok(Bytes::from_static(b"first"))).unwrap();
            drop(sender);
            second
        })
        .await;
        assert_eq!((first.status, said(&second)), (204, (409, "Image status transition from saving to saving is not allowed")));
        assert_eq!(download(&cloud, &demo, &id, None).await.2, "first");
        assert_eq!(stored(&cloud), 1);
    }

    async fn an_interrupted_upload_leaves_the_image_as_it_was_and_no_bytes(cloud: Cloud) {
        let demo = cloud.demo().await;
        let id = queued(&demo, "raw").await;
        let (sender, body) = slow_body();
        sender.send(Ok(Bytes::from(vec![1; 2_000_000]))).unwrap();
        sender.send(Err(std::io::Error::other("gone"))).unwrap();
        assert_eq!(upload(&demo, &id, body).await.status, 400);
        let image = shown(&demo, &id).await;
        assert_eq!((&image["status"], &image["size"], &image["checksum"]), (&json!("queued"), &Value::Null, &Value::Null));
        assert_eq!(stored(&cloud), 0);

        // So does one whose client goes without waiting for an answer.
        let (sender, body) = slow_body();
        let mut left = Box::pin(upload(&demo, &id, body));
        let saving = Box::pin(becomes(&demo, &id, "saving"));
        assert!(matches!(future::select(&mut left, saving).await, future::Either::Right(_)));
        drop(left);
        drop(sender);
        // Its body has an end, so it is whole: what is uploaded is uploaded.
        becomes(&demo, &id, "active").await;

        // And what is deleted meanwhile is gone, with all that came and comes.
        let id = queued(&demo, "raw").await;
        let (sender, body) = slow_body();
        let (answer, deleted) = future::join(upload(&demo, &id, body), async {
            becomes(&demo, &id, "saving").await;
            let deleted = demo.delete(&format!("{IMAGES}/{id}")).await.status;
            sender.send(Ok(Bytes::from_static(b"late"))).unwrap();
            drop(sender);
            deleted
        })
        .await;
        assert_eq!((answer.status, deleted), (410, 204));
        assert!(said(&answer).1.contains("may have been deleted during the upload"), "{:?}", answer.body);
        assert_eq!(stored(&cloud), 1);
    }

    async fn a_disk_image_is_what_it_says_and_leads_nowhere(cloud: Cloud) {
        let demo = cloud.demo().await;
        let id = queued(&demo, "qcow2").await;
        for (bytes, text) in [
            (vec![7; 1000], "Image disk_format qcow2 does not match stream data raw"),
            (qcow2(512), "Image failed safety checks"),
        ] {
            assert_eq!(said(&upload(&demo, &id, bytes).await), (415, text));
            assert_eq!((shown(&demo, &id).await["status"].clone(), stored(&cloud)), (json!("queued"), 0));
        }
        assert_eq!(upload(&demo, &id, qcow2(0)).await.status, 204);
        assert_eq!(shown(&demo, &id).await["virtual_size"], 5u64 << 30);
        let raw = queued(&demo, "raw").await;
        assert_eq!(upload(&demo, &raw, qcow2(512)).await.status, 415);

        let cloud = cloud.with_images(ImageConfig { require_image_format_match: false, ..ImageConfig::default() });
        let demo = cloud.demo().await;
        let other = queued(&demo, "vmdk").await;
        assert_eq!(upload(&demo, &other, vec![7; 1000]).await.status, 204);
    }

    async fn what_was_staged_is_imported_or_refused(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let id = queued(&demo, "qcow2").await;
        let import = async |id: &str, body: Value| demo.post(&format!("{IMAGES}/{id}/import"), &body).await;
        let direct = json!({"method": {"name": "glance-direct"}});
        let early = import(&id, direct.clone()).await;
        assert_eq!(said(&early), (409, "Image needs to be staged before 'glance-direct' method can be used"));
        for (body, status, text) in [
            (json!({}), 400, "Import request requires a 'method' field."),
            (json!({"method": {}}), 400, "Import request requires a 'name' field."),
            (json!({"method": {"name": "copy-image"}}), 400, "Unknown import method name 'copy-image'."),
            (json!({"method": {"name": "web-download", "uri": "http://x"}}), 400, "Unknown import method name 'web-download'."),
            (json!({"method": {"name": "glance-direct"}, "all_stores": 1}), 400, "'all_stores' must be boolean value only"),
        ] {
            assert_eq!(said(&import(&id, body).await), (status, text));
        }
        let stage = async |bytes: Vec<u8>| {
            demo.send_with(Method::PUT, &format!("{IMAGES}/{id}/stage"), Body::from(bytes), &BYTES).await.status
        };
        assert_eq!(stage(qcow2(512)).await, 204);
        let staged = shown(&demo, &id).await;
        assert_eq!((&staged["status"], &staged["size"], &staged["checksum"]), (&json!("uploading"), &json!(1024), &Value::Null));
        assert_eq!(stage(qcow2(0)).await, 409);
        assert_eq!(import(&id, direct.clone()).await.status, 202);
        let refused = shown(&demo, &id).await;
        assert_eq!((&refused["status"], &refused["os_glance_failed_import"], stored(&cloud)), (&json!("queued"), &json!("default"), 0));
        assert_eq!(stage(qcow2(0)).await, 204);
        assert_eq!(import(&id, direct.clone()).await.status, 202);
        let image = shown(&demo, &id).await;
        assert_eq!((&image["status"], &image["os_glance_failed_import"]), (&json!("active"), &json!("")));
        assert_eq!((&image["os_glance_importing_to_stores"], image["checksum"].is_string()), (&json!(""), true));
        assert_eq!(said(&import(&id, direct).await), (409, "Image with status active cannot be target for import"));
        let tasks = demo.get(&format!("{IMAGES}/{id}/tasks")).await.body;
        let outcomes: Vec<_> = tasks["tasks"].as_array().unwrap().iter().map(|task| (task["status"].clone(), task["message"].clone())).collect();
        assert_eq!(outcomes, [(json!("failure"), json!("Image failed safety checks")), (json!("success"), json!("Copied 0 MiB"))]);
        let task = tasks["tasks"][0]["id"].as_str().unwrap();
        assert_eq!(admin.get(&format!("/image/v2/tasks/{task}")).await.body["image_id"], json!(id));
        assert_eq!(admin.get("/image/v2/tasks?limit=1").await.body["tasks"].as_array().unwrap().len(), 1);
    }

    async fn the_bytes_of_a_deactivated_image_are_for_administrators(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let id = queued(&demo, "raw").await;
        assert_eq!(upload(&demo, &id, "bytes").await.status, 204);
        let action = async |verb: &str| demo.send(Method::POST, &format!("{IMAGES}/{id}/actions/{verb}"), Body::empty()).await.status;
        for _ in 0..2 {
            assert_eq!(action("deactivate").await, 204);
        }
        assert_eq!(download(&cloud, &demo, &id, None).await.0, 403);
        assert_eq!(download(&cloud, &admin, &id, None).await.2, "bytes");
        assert_eq!(action("reactivate").await, 204);
        assert_eq!(download(&cloud, &demo, &id, None).await.2, "bytes");
    }

    async fn no_image_and_no_project_has_more_bytes_than_it_may(cloud: Cloud) {
        let cloud = cloud.with_images(ImageConfig { image_size_cap: 100, user_storage_quota: 150, ..ImageConfig::default() });
        let demo = cloud.demo().await;
        let id = queued(&demo, "raw").await;
        let (too_large, body) = slow_body();
        too_large.send(Ok(Bytes::from(vec![0; 101]))).unwrap();
        drop(too_large);
        for body in [body, Body::from(vec![0; 101])] {
            assert_eq!(said(&upload(&demo, &id, body).await), (413, "The incoming image is too large: The provided image is too large."));
            assert_eq!(shown(&demo, &id).await["status"], "queued");
        }
        assert_eq!(upload(&demo, &id, vec![0; 100]).await.status, 204);
        let second = queued(&demo, "raw").await;
        let answer = upload(&demo, &second, vec![0; 51]).await;
        assert_eq!(said(&answer), (413, "Image exceeds the storage quota: The size of the data 51 will exceed the limit. 50 bytes remaining."));
        assert_eq!(upload(&demo, &second, vec![0; 50]).await.status, 204);
        assert_eq!(stored(&cloud), 2);
    }

    async fn of_uploads_that_end_at_once_as_many_are_kept_as_the_quota_holds(cloud: Cloud) {
        let cloud = cloud.with_images(ImageConfig { user_storage_quota: 150, ..ImageConfig::default() });
        let demo = cloud.demo().await;
        let ids = [queued(&demo, "raw").await, queued(&demo, "raw").await, queued(&demo, "raw").await];
        let (mut senders, mut uploads) = (Vec::new(), FuturesUnordered::new());
        for id in &ids {
            let (sender, body) = slow_body();
            senders.push(sender);
            uploads.push(upload(&demo, id, body));
            let saving = Box::pin(becomes(&demo, id, "saving"));
            assert!(matches!(future::select(uploads.next(), saving).await, future::Either::Right(_)));
        }
        for sender in senders {
            sender.send(Ok(Bytes::from(vec![0; 100]))).unwrap();
        }
        let mut statuses = Vec::new();
        while let Some(answer) = uploads.next().await {
            statuses.push(answer.status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 413, 413]);
    }

    async fn what_a_process_that_is_gone_had_begun_is_given_up(cloud: Cloud) {
        let cloud = cloud.with_images(ImageConfig { upload_lease: Duration::from_millis(200), ..ImageConfig::default() });
        let demo = cloud.demo().await;
        let (dead, alive) = (queued(&demo, "raw").await, queued(&demo, "raw").await);
        // As a process leaves it that was killed in the middle: a row, and a file that nobody has finished.
        let object = uuid::Uuid::new_v4();
        cloud.execute(sql!("INSERT INTO image_objects (id, image_id, state) VALUES ("(object)", "(dead)", 'writing')")).await;
        cloud.execute(sql!("UPDATE images SET status = 'saving', object = "(object)" WHERE id = "(dead))).await;
        std::fs::write(cloud.folder.path().join(format!("{object}#1")), "half").unwrap();
        let (sender, body) = slow_body();
        let shutdown = Shutdown::new();
        cloud.images().sweep(&shutdown);
        let (uploaded, ()) = future::join(upload(&demo, &alive, body), async {
            assert_eq!(becomes(&demo, &dead, "queued").await["size"], Value::Null);
            while cloud.folder.path().join(format!("{object}#1")).exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Whoever lives goes on, however slowly.
            assert_eq!(shown(&demo, &alive).await["status"], "saving");
            sender.send(Ok(Bytes::from_static(b"slow"))).unwrap();
            drop(sender);
        })
        .await;
        assert_eq!(uploaded.status, 204);
        assert_eq!(upload(&demo, &dead, "again").await.status, 204);
        shutdown.request();
        assert!(shutdown.finished(Duration::from_secs(10)).await);
        assert_eq!(stored(&cloud), 2);
    }
}

/// While its bytes come, an upload holds no place among the requests that are worked on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_keep_nobody_from_asking_and_take_longer_than_a_request_may() {
    let config = ApiConfig {
        max_in_flight: 2,
        max_in_flight_per_address: 2,
        max_in_flight_per_route: 2,
        request_timeout: Duration::from_secs(3),
        ..ApiConfig::default()
    };
    let cloud = Cloud::configured(On::Sqlite, config).await;
    let demo = cloud.demo().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(queued(&demo, "raw").await);
    }
    let (mut senders, mut uploads) = (Vec::new(), FuturesUnordered::new());
    for id in &ids {
        let (sender, body) = slow_body();
        senders.push(sender);
        uploads.push(upload(&demo, id, body));
        let saving = Box::pin(becomes(&demo, id, "saving"));
        assert!(matches!(future::select(uploads.next(), saving).await, future::Either::Right(_)));
    }
    // Longer than a request may take.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    for sender in senders {
        assert_eq!(demo.get(IMAGES).await.status, 200);
        sender.send(Ok(Bytes::from_static(b"x"))).unwrap();
    }
    while let Some(answer) = uploads.next().await {
        assert_eq!(answer.status, 204, "{:?}", answer.body);
    }
}
