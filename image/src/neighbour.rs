//! What other components ask of Image where both are in one process: the same as over HTTP, by the same rules.

use std::collections::BTreeMap;

use novella_rest::{ApiError, Parameters, policy::Caller};

use crate::{
    Images,
    db::Image,
    list, policy,
    records::{properties, remove},
};

impl Images {
    /// The images that `GET /images` with this query has, at most so many.
    ///
    /// # Errors
    /// 400 for a query that is none, 403.
    pub async fn list(&self, caller: &Caller, query: &Parameters, limit: i64) -> Result<Vec<Image>, ApiError> {
        policy::GET_IMAGES.check_own(caller)?;
        list::find(self, caller, query, limit).await
    }

    /// Sets properties of an image, and takes others away.
    ///
    /// # Errors
    /// 403, 404, and 413 for too many.
    pub async fn change_properties(
        &self,
        caller: &Caller,
        id: &str,
        set: BTreeMap<String, String>,
        removed: &[String],
    ) -> Result<(), ApiError> {
        properties::change(self, caller, id, set, removed).await
    }

    /// Deletes an image.
    ///
    /// # Errors
    /// 403, 404.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), ApiError> {
        remove::remove_as(self, caller, id).await
    }
}
