//! The Image component of the same process.

use std::{collections::BTreeMap, fmt, sync::Arc};

use novella_common::{
    images::{ImageRecord, Images},
    neighbours::Answer,
    networks::Caller,
};
use novella_rest::{
    ApiError, Authenticator,
    policy::{self, Policy},
};

/// Answers by calling the component, as whoever's token it is and by the component's own policy.
#[derive(Clone)]
pub struct ImagesHere {
    images: novella_image::Images,
    authenticator: Arc<dyn Authenticator>,
    policy: Arc<Policy>,
}

impl fmt::Debug for ImagesHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImagesHere").finish_non_exhaustive()
    }
}

impl ImagesHere {
    /// On this component.
    #[must_use]
    pub fn new(images: novella_image::Images, authenticator: Arc<dyn Authenticator>, policy: Policy) -> Self {
        Self { images, authenticator, policy: Arc::new(policy) }
    }

    /// Whoever asks, before the component.
    async fn before(&self, Caller { context, token }: Caller<'_>) -> Result<policy::Caller, ApiError> {
        let (context, rules) = (context.clone(), Arc::clone(&self.policy));
        let Some(token) = token else { return Ok(policy::Caller::anonymous(context, rules)) };
        let token = self.authenticator.authenticate(token).await?.ok_or(ApiError::Unauthorized)?;
        Ok(policy::Caller::new(context, token, rules))
    }
}

fn records(found: Vec<novella_image::db::Image>) -> Vec<ImageRecord> {
    let record = |image: novella_image::db::Image| ImageRecord {
        id: image.id,
        name: image.name,
        created_at: image.created_at,
        updated_at: image.updated_at,
        status: image.status.to_string(),
        size: image.size,
        min_disk_gb: image.min_disk_gb,
        min_ram_mb: image.min_ram_mb,
        properties: image.properties,
    };
    found.into_iter().map(record).collect()
}

impl Images for ImagesHere {
    fn find_many<'a>(&'a self, caller: Caller<'a>, ids: Vec<String>) -> Answer<'a, Vec<ImageRecord>> {
        Box::pin(async move {
            let found = self.images.find_many(caller.context, ids).await.map_err(ApiError::from)?;
            Ok(records(found))
        })
    }

    fn list<'a>(
        &'a self,
        caller: Caller<'a>,
        query: Vec<(String, String)>,
        limit: i64,
    ) -> Answer<'a, Vec<ImageRecord>> {
        Box::pin(async move {
            let query = query.into_iter().collect();
            Ok(records(self.images.list(&self.before(caller).await?, &query, limit).await?))
        })
    }

    fn change_properties<'a>(
        &'a self,
        caller: Caller<'a>,
        id: &'a str,
        set: BTreeMap<String, String>,
        removed: Vec<String>,
    ) -> Answer<'a, ()> {
        Box::pin(
            async move { Ok(self.images.change_properties(&self.before(caller).await?, id, set, &removed).await?) },
        )
    }

    fn delete<'a>(&'a self, caller: Caller<'a>, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { Ok(self.images.delete(&self.before(caller).await?, id).await?) })
    }
}
