//! What Compute relies on of any Image. The same tests for the component of the same process and for one elsewasked.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use novella_common::{
    images::{ImageRecord, Images},
    neighbours::Refusal,
    networks::Caller,
};
use novella_image::IMAGE;
use novella_neighbours::{ImagesElsewhere, ImagesHere};
use novella_rest::policy::Policy;
use novella_testing::rest::{Client, id};
use serde_json::{Value, json};

use crate::{
    suite::world::Rest,
    support::{Components, On, of_each_kind},
};

/// An Image that is asked in two ways: by Compute's trait, and by its REST API.
struct Asked {
    images: Arc<dyn Images>,
    admin: Rest,
    demo: Rest,
    components: Components,
}

struct Here(Asked);
struct Elsewhere(Asked);

fn images_here(components: &Components, policy: &str) -> Arc<dyn Images> {
    let policy = Policy::read(IMAGE.policy, Path::new("policy.yaml"), policy).unwrap();
    Arc::new(ImagesHere::new(components.images.clone(), Arc::new(components.identity.clone()), policy))
}

impl Here {
    async fn new(on: On) -> Self {
        Self(Asked::by(on, |components| images_here(components, "")).await)
    }
}

impl Elsewhere {
    async fn new(on: On) -> Self {
        let images = |components: &Components| -> Arc<dyn Images> {
            Arc::new(ImagesElsewhere::new(Some(&components.url("image")), None, None).unwrap())
        };
        Self(Asked::by(on, images).await)
    }
}

impl Asked {
    async fn by(on: On, images: impl FnOnce(&Components) -> Arc<dyn Images>) -> Self {
        let components = Components::start(on).await;
        let [admin, demo] = [components.login("admin").await, components.login("demo").await];
        Self { images: images(&components), admin, demo, components }
    }

    /// Makes an image by the REST API; its id.
    async fn make(&self, who: &Rest, values: Value) -> String {
        let mut image = json!({"name": "image", "disk_format": "raw", "container_format": "bare"});
        image.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        id(&self.rest(who).post("/images", &image).await.with(201))
    }

    fn rest(&self, who: &Rest) -> Client {
        who.client.at(&self.components.url("image/v2"))
    }

    async fn find(&self, who: &Rest, ids: &[&str]) -> Vec<ImageRecord> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.images.find_many(who.caller(), ids).await.unwrap()
    }

    async fn list(&self, who: &Rest, (name, value): (&str, &str), limit: i64) -> Result<Vec<ImageRecord>, Refusal> {
        self.images.list(who.caller(), vec![(name.to_owned(), value.to_owned())], limit).await
    }

    async fn set(&self, who: &Rest, id: &str, name: &str, removed: &[&str]) -> Result<(), Refusal> {
        let set = BTreeMap::from([(name.to_owned(), "2".to_owned())]);
        let removed = removed.iter().map(|name| (*name).to_owned()).collect();
        self.images.change_properties(who.caller(), id, set, removed).await
    }
}

fn status<T: std::fmt::Debug>(result: Result<T, Refusal>) -> u16 {
    result.unwrap_err().status
}

of_each_kind! {
    async fn images_are_found_by_id_as_far_as_the_caller_may_use_them(asked: Asked) {
        let own = asked.make(&asked.demo, json!({"name": "mine", "min_ram": 64, "min_disk": 2, "a": "1"})).await;
        let hidden = asked.make(&asked.admin, json!({"visibility": "private"})).await;
        let found = asked.find(&asked.demo, &[&own, &hidden, "nonsense"]).await;
        let shown = asked.rest(&asked.demo).get(&format!("/images/{own}")).await.with(200);
        let time = |name: &str| shown[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
        assert_eq!((found[0].created_at.as_second(), found[0].updated_at.as_second()), (time("created_at"), time("updated_at")));
        assert_eq!(found, [ImageRecord {
            id: own.clone(),
            name: Some("mine".into()),
            status: "queued".into(),
            min_disk_gb: 2,
            min_ram_mb: 64,
            properties: BTreeMap::from([("a".into(), "1".into())]),
            ..found[0].clone()
        }]);
        assert_eq!(found[0].size, None);
        assert_eq!(asked.find(&asked.admin, &[&own, &hidden]).await.len(), 2);
    }

    async fn a_list_is_what_image_lists_for_the_caller_and_no_longer_than_asked_for(asked: Asked) {
        for name in ["one", "other"] {
            asked.make(&asked.demo, json!({"name": name, "min_ram": 64})).await;
        }
        asked.make(&asked.admin, json!({"visibility": "private", "min_ram": 64})).await;
        let found = asked.list(&asked.demo, ("name", "one"), 10).await.unwrap();
        assert_eq!(found.iter().map(|image| image.name.as_deref()).collect::<Vec<_>>(), [Some("one")]);
        for (limit, count) in [(10, 2), (1, 1)] {
            assert_eq!(asked.list(&asked.demo, ("min_ram", "64"), limit).await.unwrap().len(), count);
        }
        assert_eq!(asked.list(&asked.admin, ("min_ram", "64"), 10).await.unwrap().len(), 3);
        assert_eq!(status(asked.list(&asked.demo, ("updated_at", "gte:nonsense"), 10).await), 400);
    }

    async fn images_are_changed_and_deleted_by_whom_image_permits(asked: Asked) {
        let own = asked.make(&asked.demo, json!({"a": "1"})).await;
        let hidden = asked.make(&asked.admin, json!({"visibility": "private"})).await;
        let public = asked.make(&asked.admin, json!({"visibility": "public"})).await;
        asked.set(&asked.demo, &own, "b", &["a"]).await.unwrap();
        let properties = &asked.find(&asked.demo, &[&own]).await[0].properties;
        assert_eq!(properties, &BTreeMap::from([("b".into(), "2".into())]));
        assert_eq!(status(asked.set(&asked.demo, &own, "status", &[]).await), 403);
        for (image, refused) in [(&hidden, 404), (&public, 403)] {
            assert_eq!(status(asked.set(&asked.demo, image, "b", &[]).await), refused);
            assert_eq!(status(asked.images.delete(asked.demo.caller(), image).await), refused);
        }
        asked.images.delete(asked.demo.caller(), &own).await.unwrap();
        assert_eq!(status(asked.images.delete(asked.demo.caller(), &own).await), 404);
        assert_eq!(asked.find(&asked.admin, &[&hidden, &public]).await.len(), 2);
    }

    async fn what_is_no_id_names_no_image(asked: Asked) {
        let own = asked.make(&asked.demo, json!({})).await;
        for none in ["", "nonsense", "../images", &format!("x/../{own}"), &format!("{own}?"), &format!("{own}/file")] {
            assert_eq!(asked.find(&asked.demo, &[none]).await, [], "{none}");
            assert_eq!(status(asked.set(&asked.demo, none, "b", &[]).await), 404, "{none}");
            assert_eq!(status(asked.images.delete(asked.demo.caller(), none).await), 404, "{none}");
        }
        assert_eq!(asked.find(&asked.demo, &[&own]).await.len(), 1);
    }

    async fn who_has_no_valid_token_is_refused(asked: Asked) {
        let stranger = Caller { context: &asked.demo.context, token: Some("nonsense") };
        assert_eq!(status(asked.images.list(stranger, Vec::new(), 10).await), 401);
        assert_eq!(status(asked.images.delete(stranger, "any").await), 401);
    }

    async fn an_image_service_that_can_not_answer_says_so(asked: Asked) {
        asked.components.database.close().await;
        let refusal = asked.images.find_many(asked.demo.caller(), vec!["any".to_owned()]).await.unwrap_err();
        assert_eq!(refusal.status, 503, "{refusal}");
    }
}

/// Of the same process, whose policy is known here.
mod by_a_policy {
    use super::{Caller, Here, images_here, status};

    novella_testing::on_both! {
        async fn images_own_policy_is_held_against_the_token(here: Here) {
            let asked = here.0;
            let nobody = Caller { context: &asked.demo.context, token: None };
            assert_eq!(status(asked.images.list(nobody, Vec::new(), 10).await), 403);
            let closed = images_here(&asked.components, "get_images: '!'");
            assert_eq!(status(closed.list(asked.demo.caller(), Vec::new(), 10).await), 403);
            assert!(asked.images.list(asked.demo.caller(), Vec::new(), 10).await.is_ok());
        }
    }
}
