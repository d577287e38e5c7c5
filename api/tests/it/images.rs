//! Images, as the image API shows them.

use serde_json::json;

use crate::support::{Cloud, IMAGE, On};

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
}
