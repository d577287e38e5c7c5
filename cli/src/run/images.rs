//! The Image component of the same process, asked by Compute without a detour over HTTP.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use novella_api::neighbours::{Asker, ImageRecord, Images};
use novella_image::IMAGE;
use novella_rest::{ApiError, Parameters, policy::Policy};

use super::policies::ServicePolicy;

pub(super) struct ImagesHere {
    images: novella_image::Images,
    /// By which Image says who may do what.
    policy: Arc<Policy>,
}

impl ImagesHere {
    pub(super) fn new(images: novella_image::Images, policies: &[ServicePolicy<'_>]) -> Self {
        let own = policies.iter().find(|of| of.service.kind == IMAGE.kind);
        Self { images, policy: Arc::new(own.map(|of| of.policy.clone()).unwrap_or_default()) }
    }
}

fn record(image: novella_image::db::Image) -> ImageRecord {
    ImageRecord {
        id: image.id,
        name: image.name,
        created_at: image.created_at,
        updated_at: image.updated_at,
        status: image.status.to_string(),
        size: image.size,
        min_disk_gb: image.min_disk_gb,
        min_ram_mb: image.min_ram_mb,
        properties: image.properties,
    }
}

impl Images for ImagesHere {
    fn find_many<'a>(
        &'a self,
        asker: Asker<'a>,
        ids: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>> {
        Box::pin(async move { Ok(self.images.find_many(asker.caller, ids).await?.into_iter().map(record).collect()) })
    }

    fn list<'a>(
        &'a self,
        asker: Asker<'a>,
        query: Parameters,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>> {
        Box::pin(async move {
            let caller = asker.caller.before(Arc::clone(&self.policy));
            Ok(self.images.list(&caller, &query, limit).await?.into_iter().map(record).collect())
        })
    }

    fn change_properties<'a>(
        &'a self,
        asker: Asker<'a>,
        id: &'a str,
        set: BTreeMap<String, String>,
        removed: Vec<String>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            let caller = asker.caller.before(Arc::clone(&self.policy));
            self.images.change_properties(&caller, id, set, &removed).await
        })
    }

    fn delete<'a>(&'a self, asker: Asker<'a>, id: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move { self.images.delete(&asker.caller.before(Arc::clone(&self.policy)), id).await })
    }
}
