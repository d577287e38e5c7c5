//! A cache of images beside their store.

use std::time::Duration;

use axum::body::Body;
use http::Method;
use novella_common::service::Shutdown;
use novella_image::ImageConfig;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Answer, Client, Cloud};

const IMAGES: &str = "/image/v2/images";
const CACHE: &str = "/image/v2/cache";

fn with_cache(cloud: Cloud, most: u64) -> Cloud {
    let folder = cloud.folder.path().join("cache");
    // In it, where nobody looks for what is not an image.
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("README"), "not an image").unwrap();
    cloud.with_images(ImageConfig {
        image_cache_dir: Some(folder),
        image_cache_max_size: most,
        upload_lease: Duration::from_secs(1),
        ..ImageConfig::default()
    })
}

async fn uploaded(client: &Client<'_>) -> String {
    let body = json!({"name": "i", "disk_format": "raw", "container_format": "bare"});
    let id = client.post(IMAGES, &body).await.body["id"].as_str().unwrap().to_owned();
    let bytes = [("content-type", "application/octet-stream")];
    let answer = client.send_with(Method::PUT, &format!("{IMAGES}/{id}/file"), Body::from("0123456789"), &bytes).await;
    assert_eq!(answer.status, 204);
    id
}

async fn download(cloud: &Cloud, client: &Client<'_>, id: &str) -> (u16, String) {
    let request = http::Request::builder().uri(format!("{IMAGES}/{id}/file")).header("host", "cloud.test");
    let request = request.header("x-auth-token", client.token.as_deref().unwrap()).body(Body::empty()).unwrap();
    let answer = cloud.router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn cached(admin: &Client<'_>) -> Vec<Value> {
    admin.get(CACHE).await.body["cached_images"].as_array().unwrap().clone()
}

/// Waits until nothing waits to be put in, and says what is in it.
async fn settled(admin: &Client<'_>) -> Vec<String> {
    let settled = async {
        while admin.get(CACHE).await.body["queued_images"] != json!([]) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();
    cached(admin).await.iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect()
}

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["message"].as_str().unwrap_or_default())
}

on_both! {
    async fn without_a_cache_its_operations_are_not_there(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        assert_eq!(said(&admin.get(CACHE).await), (404, "Caching via API is not supported at this site."));
        assert_eq!(demo.get(CACHE).await.status, 403);
    }

    async fn an_image_is_read_from_the_cache_once_it_is_there(cloud: Cloud) {
        let cloud = with_cache(cloud, 25);
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        assert_eq!((demo.get(CACHE).await.status, cached(&admin).await.len()), (403, 0));
        let put = async |id: &str| admin.send(Method::PUT, &format!("{CACHE}/{id}"), Body::empty()).await;
        assert_eq!(said(&put("nonsense").await), (404, "Image nonsense not found."));
        let queued = demo.post(IMAGES, &json!({})).await.body["id"].as_str().unwrap().to_owned();
        assert_eq!(said(&put(&queued).await), (400, "Only images with status active can be targeted for queueing"));
        let first = uploaded(&demo).await;
        assert_eq!(put(&first).await.status, 202);
        assert_eq!(settled(&admin).await, std::slice::from_ref(&first));
        // The store is lost.
        for entry in std::fs::read_dir(cloud.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::remove_file(path).unwrap();
            }
        }
        assert_eq!(download(&cloud, &demo, &first).await, (200, "0123456789".to_owned()));
        assert_eq!((&cached(&admin).await[0]["hits"], &cached(&admin).await[0]["size"]), (&json!(1), &json!(10)));

        // What is read is put in, and what was not read for longest goes.
        let (second, third) = (uploaded(&demo).await, uploaded(&demo).await);
        for id in [&second, &third] {
            assert_eq!(download(&cloud, &demo, id).await.0, 200);
            settled(&admin).await;
        }
        let mut left = vec![second.clone(), third.clone()];
        left.sort();
        assert_eq!(settled(&admin).await, left);
        assert_eq!(admin.post(&format!("{CACHE}/prune"), &json!({})).await.body, json!({"total_files_pruned": 0, "total_bytes_pruned": 0}));
        assert_eq!(admin.get(&format!("{CACHE}/nodes/{second}")).await.status, 409);

        assert_eq!(demo.delete(&format!("{IMAGES}/{second}")).await.status, 204);
        assert_eq!(settled(&admin).await, std::slice::from_ref(&third));
        let clear = async |target: &str| {
            admin.send_with(Method::DELETE, CACHE, Body::empty(), &[("x-image-cache-clear-target", target)]).await.status
        };
        assert_eq!((clear("nonsense").await, clear("queue").await, cached(&admin).await.len()), (400, 204, 1));
        assert_eq!((clear("").await, cached(&admin).await.len()), (204, 0));
        assert_eq!(admin.delete(&format!("{CACHE}/{third}")).await.status, 204);
        assert_eq!(admin.delete(&format!("{CACHE}/{second}")).await.status, 404);
    }

    async fn nothing_stays_in_the_cache_that_nobody_finishes_or_needs(cloud: Cloud) {
        let cloud = with_cache(cloud, 1000);
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let id = uploaded(&demo).await;
        assert_eq!(admin.send(Method::PUT, &format!("{CACHE}/{id}"), Body::empty()).await.status, 202);
        assert_eq!(settled(&admin).await, std::slice::from_ref(&id));
        let folder = cloud.folder.path().join("cache");
        // As a process leaves it that was killed in the middle, and as another leaves it that has not seen a deletion.
        std::fs::write(folder.join("partial-1"), "half").unwrap();
        std::fs::write(folder.join("5e9f0000-0000-4000-8000-000000000001"), "gone").unwrap();
        let shutdown = Shutdown::new();
        cloud.images().sweep(&shutdown);
        let swept = async {
            while std::fs::read_dir(&folder).unwrap().count() > 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), swept).await.unwrap();
        assert_eq!((settled(&admin).await, folder.join("README").exists()), (vec![id], true));
        shutdown.request();
        assert!(shutdown.finished(Duration::from_secs(10)).await);
    }
}
