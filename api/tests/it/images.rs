//! Images, as the image API shows them.

use axum::body::Body;
use novella_common::sql;
use serde_json::json;
use tower::ServiceExt;

use crate::support::{Cloud, IMAGE};

const IMAGES: &str = "/image/v2/images";

on_both! {
    async fn images_are_found_by_name_and_by_id(cloud: Cloud) {
        let demo = cloud.demo().await;
        insta::assert_json_snapshot!("image", demo.get(&format!("{IMAGES}/{IMAGE}")).await.body, {
            ".created_at" => "[time]", ".updated_at" => "[time]" });
        let missing = demo.get(&format!("{IMAGES}/cirros")).await;
        assert_eq!((missing.status, &missing.body["code"]), (404, &json!("404 Not Found")));
        let names = async |query: &str| {
            let answer = demo.get(&format!("{IMAGES}?sort_key=name&sort_dir=asc&{query}")).await;
            let names: Vec<String> = answer.body["images"]
                .as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect();
            (names.join(" "), answer.body["next"].as_str().map(ToOwned::to_owned))
        };
        assert_eq!(names("").await.0, "cirros cirros-alt debian-12");
        assert_eq!(names("name=cirros").await.0, "cirros");
        assert_eq!(names(&format!("id=in:{IMAGE},nonsense")).await.0, "cirros");
        let (first, next) = names("limit=2").await;
        assert_eq!(first, "cirros cirros-alt");
        let answer = demo.get(&format!("/image{}", next.unwrap())).await;
        assert_eq!(answer.body["images"][0]["name"], "debian-12");
        assert_eq!(cloud.anonymous().get(IMAGES).await.status, 401);
    }

    async fn an_image_has_the_bytes_that_it_shows(cloud: Cloud) {
        let demo = cloud.demo().await;
        let path = format!("{IMAGES}/{IMAGE}/file");
        let download = async || {
            let token = demo.token.clone().unwrap();
            let request = http::Request::builder().uri(&path).header("host", "cloud.test").header("x-auth-token", token);
            let answer = cloud.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (parts, body) = answer.into_parts();
            (parts, axum::body::to_bytes(body, usize::MAX).await.unwrap())
        };
        let size = demo.get(&format!("{IMAGES}/{IMAGE}")).await.body["size"].as_u64().unwrap();
        let (parts, bytes) = download().await;
        assert_eq!((parts.status.as_u16(), u64::try_from(bytes.len()).unwrap()), (200, size));
        assert_eq!(parts.headers["content-type"], "application/octet-stream");
        assert_eq!(parts.headers["content-length"], size.to_string());
        assert_eq!(&bytes[..4], b"QFI\xfb");
        cloud.execute(sql!("UPDATE images SET status = 'queued', size = NULL")).await;
        let (parts, bytes) = download().await;
        assert_eq!((parts.status.as_u16(), bytes.len()), (204, 0));
        cloud.execute(sql!("UPDATE images SET visibility = 'private'")).await;
        assert_eq!(demo.get(&path).await.status, 404);
    }
}
