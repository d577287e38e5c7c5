//! `PATCH /image/v2/images/{image_id}`: all operations of a patch, or none.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue};
use novella_rest::{ApiError, Path};
use serde_json::json;

use super::{
    attributes::{BASE, READ_ONLY, SHOWN_ONLY, check_name, check_quotas, read_only, rule_for, set, visibility},
    body_of,
    patch::{Change, Op, V2_0, V2_1, changes},
};
use crate::{
    Request, access,
    db::{self, Image},
    policy,
    schema::validate,
    view::shown_one,
};

pub(crate) async fn update(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let form = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = form.map(|form| form.split(';').next().unwrap_or(form).trim().to_ascii_lowercase());
    let old = match form.as_deref() {
        Some(V2_1) => false,
        Some(V2_0) => true,
        _ => return Ok(other_form()),
    };
    let body = body_of(&mut request, |_| true).await?;
    let changes = changes(&body, old)?;
    for change in &changes {
        check(change)?;
    }
    let mut transaction = request.state.database.begin().await?;
    let mut image = access::find_locked(&request.context, &mut transaction, &id).await?;
    for change in &changes {
        apply(&request, &mut image, change)?;
    }
    if !changes.is_empty() {
        check_quotas(&image, &request.state.config)?;
        db::update(&mut transaction, &mut image).await?;
        transaction.commit().await?;
    }
    Ok(Json(shown_one(&request.state, image).await?).into_response())
}

/// 415, and what would be right.
fn other_form() -> Response {
    let forms = format!("{V2_0}, {V2_1}");
    let text = format!("Image PATCH expects Content-Type one of: {forms}");
    let mut response = ApiError::UnsupportedContent(text).into_response();
    if let Ok(forms) = HeaderValue::from_str(&forms) {
        response.headers_mut().insert(HeaderName::from_static("accept-patch"), forms);
    }
    response
}

/// What can be said of a change without the image.
fn check(change: &Change) -> Result<(), ApiError> {
    let name = change.name.as_str();
    if name == "id" || READ_ONLY.contains(&name) || SHOWN_ONLY.contains(&name) {
        return Err(read_only(name));
    }
    check_name(name)?;
    match change.op {
        Op::Remove => Ok(()),
        _ if name == "locations" && change.rest.is_empty() => validate("image", &json!({ name: change.value })),
        _ if name == "locations" => validate("image", &json!({ name: [change.value] })),
        _ => validate("image", &json!({ name: change.value })),
    }
}

fn apply(request: &Request, image: &mut Image, change: &Change) -> Result<(), ApiError> {
    let Change { op, name, value, .. } = change;
    let name = name.as_str();
    if name == "locations" {
        return Err(ApiError::Forbidden(match op {
            Op::Replace if value.as_array().is_none_or(Vec::is_empty) => "Cannot set locations to empty list.".into(),
            Op::Replace => "It's not allowed to update locations if locations are invisible.".into(),
            Op::Add => "It's not allowed to add locations if locations are invisible.".into(),
            Op::Remove => "It's not allowed to remove locations if locations are invisible.".into(),
        }));
    }
    // What is another's can't be made one's own, nor what is one's own another's.
    let same = *op == Op::Add && value.as_str() == image.owner.as_deref();
    if name == "owner" && *op != Op::Remove && !same && !request.context.is_admin {
        return Err(ApiError::Forbidden("Owner can't be updated by non admin.".into()));
    }
    if name == "visibility"
        && *op != Op::Remove
        && let Some(rule) = rule_for(visibility(value))
    {
        access::check(&request.context, rule, image)?;
    }
    access::check(&request.context, policy::MODIFY_IMAGE, image)?;
    let base = BASE.contains(&name);
    let conflict = |what: &str| Err(ApiError::Conflict(format!("Property {name} {what}.")));
    match op {
        Op::Remove if base => Err(ApiError::Forbidden(format!("Property {name} may not be removed."))),
        Op::Remove => match image.properties.remove(name) {
            Some(_) => Ok(()),
            None => conflict("does not exist"),
        },
        Op::Add if change.add_is_new && (base || image.properties.contains_key(name)) => conflict("already present"),
        Op::Replace if !base && !image.properties.contains_key(name) => conflict("does not exist"),
        Op::Add | Op::Replace if base => set(image, name, value),
        Op::Add | Op::Replace => {
            let text = value.as_str().unwrap_or_default();
            image.properties.insert(name.to_owned(), text.to_owned());
            Ok(())
        }
    }
}
