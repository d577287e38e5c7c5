//! `/images/{id}/metadata`: an image's properties, until 2.38.

use std::collections::BTreeMap;

use axum::{http::StatusCode, response::Response};
use novella_rest::{ApiError, Operation, Path, delete, get, policy::EVERYBODY, post, put};
use serde::{Deserialize, Deserializer, de};

use super::{find, not_found, view};
use crate::{Request, compute::quotas::Limits, state::Api};

/// The last minor version that has them.
const UNTIL: u16 = 38;

/// The longest name and value, in characters.
const LONGEST: usize = 255;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/images/{image_id}/metadata";
    const ONE: &str = "/images/{image_id}/metadata/{key}";
    let operations = vec![
        get(ALL, EVERYBODY, index).summary("List an image's properties.").answers::<Properties>("metadata"),
        post(ALL, EVERYBODY, merge).summary("Set properties of an image.").answers::<Properties>("metadata"),
        put(ALL, EVERYBODY, replace).summary("Replace an image's properties.").answers::<Properties>("metadata"),
        get(ONE, EVERYBODY, show).summary("Show a property of an image.").answers::<Properties>("meta"),
        put(ONE, EVERYBODY, set_one).summary("Set a property of an image.").answers::<Properties>("meta"),
        delete(ONE, EVERYBODY, remove).summary("Take a property from an image.").status(204),
    ];
    operations.into_iter().map(|operation| operation.until(UNTIL)).collect()
}

/// Properties as a request gives them: names of 1 to 255 plain characters, values of at most 255.
#[derive(Debug)]
struct Properties(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = BTreeMap::<String, String>::deserialize(deserializer)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | ' ');
        for (name, value) in &pairs {
            if !(1..=LONGEST).contains(&name.len()) || !name.chars().all(plain) {
                let rule = "must have 1 to 255 letters, digits, spaces and characters of -_:.";
                return Err(de::Error::custom(format!("the name '{name}' {rule}")));
            }
            if value.chars().count() > LONGEST {
                return Err(de::Error::custom(format!("the value of '{name}' is longer than {LONGEST} characters")));
            }
        }
        Ok(Self(pairs))
    }
}

novella_rest::documented_as! {
    Properties => Object;
}

novella_rest::value_body! {
    /// Properties to be added, or to replace those that are there.
    struct All(Properties) in "metadata";
}

novella_rest::value_body! {
    /// One property.
    struct One(Properties) in "meta";
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let properties = find(&request, &id).await?.properties;
    Ok(request.plain("metadata", view::metadata(properties)))
}

async fn show(request: Request, Path((id, key)): Path<(String, String)>) -> Result<Response, ApiError> {
    let value = own(&request, &id).await?.remove(&key).ok_or_else(ApiError::no_such_path)?;
    let value = view::value(&key, value);
    Ok(request.plain("meta", BTreeMap::from([(key, value)])))
}

async fn merge(request: Request, Path(id): Path<String>, All(Properties(new)): All) -> Result<Response, ApiError> {
    let mut properties = own(&request, &id).await?;
    properties.extend(new.clone());
    change(&request, &id, properties.len(), new, Vec::new()).await?;
    Ok(request.plain("metadata", view::metadata(properties)))
}

async fn replace(request: Request, Path(id): Path<String>, All(Properties(new)): All) -> Result<Response, ApiError> {
    let mut others = own(&request, &id).await?;
    others.retain(|name, _| !new.contains_key(name));
    change(&request, &id, new.len(), new.clone(), others.into_keys().collect()).await?;
    Ok(request.plain("metadata", new))
}

async fn set_one(
    request: Request,
    Path((id, key)): Path<(String, String)>,
    One(Properties(meta)): One,
) -> Result<Response, ApiError> {
    if meta.len() != 1 {
        return Err(ApiError::bad_request("Invalid input for field/attribute meta. One item is expected."));
    }
    if !meta.contains_key(&key) {
        return Err(ApiError::bad_request("Request body and URI mismatch"));
    }
    let mut properties = own(&request, &id).await?;
    properties.extend(meta.clone());
    change(&request, &id, properties.len(), meta.clone(), Vec::new()).await?;
    Ok(request.plain("meta", meta))
}

async fn remove(request: Request, Path((id, key)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    if !own(&request, &id).await?.contains_key(&key) {
        return Err(ApiError::not_found("Invalid metadata key"));
    }
    change(&request, &id, 0, BTreeMap::new(), vec![key]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An image's properties, but for those that Image sets itself.
async fn own(request: &Request, id: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut properties = find(request, id).await?.properties;
    properties.retain(|name, _| !name.starts_with(view::OWN_PREFIX));
    Ok(properties)
}

/// Changes an image's properties, of which there are to be so many then.
async fn change(
    request: &Request,
    id: &str,
    count: usize,
    set: BTreeMap<String, String>,
    removed: Vec<String>,
) -> Result<(), ApiError> {
    let limits = Limits::of_caller(&mut *request.state.database.read().await?, request).await?;
    limits.check_metadata(count).map_err(|_| ApiError::Forbidden("Image metadata limit exceeded".into()))?;
    match request.state.images.change_properties(request.into(), id, set, removed).await {
        Err(ApiError::NotFound(_)) => Err(not_found()),
        Err(ApiError::Forbidden(_)) => Err(ApiError::Forbidden(format!("Not authorized for image {id}."))),
        outcome => outcome,
    }
}
