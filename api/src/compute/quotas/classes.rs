//! `/os-quota-class-sets`: limits by class. Those of the class `default` hold for every project that has none of its own; of
//! other classes nobody makes use, as in Nova.

use axum::response::Response;
use novella_common::db::quotas;
use novella_rest::{ApiError, Operation, Path, get, inputs::Integer, put};

use super::{
    Amounts, Resource,
    view::{CLASS, LimitsView},
};
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-quota-class-sets/{quota_class}";
    vec![
        get(ONE, policy::QUOTA_CLASS_SETS_SHOW, show).answers::<LimitsView>("quota_class_set"),
        put(ONE, policy::QUOTA_CLASS_SETS_UPDATE, update).answers::<LimitsView>("quota_class_set"),
    ]
}

new_limits! {
    /// `PUT /os-quota-class-sets/{quota_class}`.
    "quota_class_set", network until 49
}

/// The names of classes that can be kept.
const LONGEST_NAME: usize = 255;

async fn show(request: Request, Path(class): Path<String>) -> Result<Response, ApiError> {
    let set = quotas::of_class(&mut *request.state.database.read().await?, &class).await?;
    let limits = Amounts::configured(&request.state.quota).with(set);
    Ok(request.answer(&CLASS).object("quota_class_set", LimitsView::new(Some(class), &limits)))
}

async fn update(request: Request, Path(class): Path<String>, new: NewLimits) -> Result<Response, ApiError> {
    if class.chars().count() > LONGEST_NAME {
        return Err(ApiError::bad_request(format!(
            "quota_class_name has {} characters, more than {LONGEST_NAME}.",
            class.chars().count()
        )));
    }
    let changes: Vec<_> = new.changes().into_iter().map(|(resource, limit)| (resource.as_str(), limit)).collect();
    let mut connection = request.state.database.write().await?;
    quotas::set_class(&mut connection, &class, &changes).await?;
    let set = quotas::of_class(&mut connection, &class).await?;
    let limits = Amounts::configured(&request.state.quota).with(set);
    Ok(request.answer(&CLASS).object("quota_class_set", LimitsView::new(None, &limits)))
}
