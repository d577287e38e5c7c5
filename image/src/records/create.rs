//! `POST /image/v2/images`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, header};
use novella_rest::{ApiError, repr};
use serde_json::Value;
use uuid::Uuid;

use super::{
    attributes::{BASE, READ_ONLY, SHOWN_ONLY, check_name, check_quotas, read_only, rule_for, set, visibility},
    body,
};
use crate::{
    Request,
    db::{self, Image},
    schema::validate,
    view::ImageView,
};

/// Makes a record. Its bytes come later.
pub(crate) async fn create(mut request: Request) -> Result<Response, ApiError> {
    let body = body(&mut request).await?;
    let image = described(&request, &body)?;
    let mut transaction = request.state.database.begin().await?;
    let taken = || ApiError::Conflict(format!("Image ID {} already exists!", image.id));
    if db::was_deleted(&mut transaction, &image.id).await? {
        return Err(taken());
    }
    db::insert(&mut transaction, &image)
        .await
        .map_err(|error| if error.is_unique_violation() { taken() } else { error.into() })?;
    transaction.commit().await?;
    let methods = request.state.config.import_methods().join(",");
    let headers = [
        (header::LOCATION, request.links.to(&format!("images/{}", image.id))),
        (HeaderName::from_static("openstack-image-import-methods"), methods),
        (HeaderName::from_static("openstack-image-store-ids"), request.state.stores.ids()),
    ];
    Ok((StatusCode::CREATED, headers, Json(ImageView::new(image, None))).into_response())
}

/// The image that a body describes.
fn described(request: &Request, body: &Value) -> Result<Image, ApiError> {
    let given = body.as_object().ok_or_else(|| ApiError::bad_request("Malformed JSON in request body."))?;
    if let Some(name) = SHOWN_ONLY.iter().find(|name| given.contains_key(**name)) {
        return Err(read_only(name));
    }
    validate("image", body)?;
    let own = request.context.project_id.clone();
    let owner = match given.get("owner") {
        Some(owner) => owner.as_str().map(ToOwned::to_owned),
        None => own.clone(),
    };
    if !request.context.is_admin && owner != own {
        let owner = given.get("owner").map(repr).unwrap_or_default();
        let owner = owner.trim_matches('\'');
        return Err(ApiError::Forbidden(format!("You are not permitted to create images owned by '{owner}'")));
    }
    if let Some(rule) = given.get("visibility").and_then(|value| rule_for(visibility(value))) {
        rule.check(&request.context, owner.as_deref())?;
    }
    let id = given.get("id").and_then(Value::as_str).map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned);
    let mut image = Image::queued(id, owner);
    for (name, value) in given {
        if READ_ONLY.contains(&name.as_str()) {
            return Err(read_only(name));
        }
        if name == "id" {
            continue;
        }
        if BASE.contains(&name.as_str()) {
            set(&mut image, name, value)?;
            continue;
        }
        check_name(name)?;
        // The schema knows others than texts for one property only.
        let Some(text) = value.as_str() else {
            return Err(ApiError::Forbidden(format!("Attribute '{name}' is reserved.")));
        };
        image.properties.insert(name.clone(), text.to_owned());
    }
    check_quotas(&image, &request.state.config)?;
    Ok(image)
}
