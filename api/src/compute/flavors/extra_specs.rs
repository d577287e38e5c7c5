//! `/flavors/{id}/os-extra_specs`: what a flavor asks of hosts and says to drivers.

use std::collections::BTreeMap;

use axum::{Json, response::Response};
use novella_common::{
    db::{Transaction, table},
    models::Flavor,
};
use novella_rest::{ApiError, Operation, Path, delete, get, inputs::AnyValue, post, put, value_body, wrong};
use serde_json::{Map, Value};

use super::{extra_spec_rules, find};
use crate::{Request, policy, state::Api};

/// The version from which what is known of an extra spec is checked.
const CHECKED_SINCE: u16 = 86;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/flavors/{flavor_id}/os-extra_specs";
    const ONE: &str = "/flavors/{flavor_id}/os-extra_specs/{key}";
    vec![
        get(ALL, policy::FLAVOR_EXTRA_SPECS_INDEX, index).answers::<BTreeMap<String, String>>("extra_specs"),
        post(ALL, policy::FLAVOR_EXTRA_SPECS_CREATE, create).answers::<BTreeMap<String, String>>("extra_specs"),
        get(ONE, policy::FLAVOR_EXTRA_SPECS_SHOW, show).answers::<BTreeMap<String, String>>(""),
        put(ONE, policy::FLAVOR_EXTRA_SPECS_UPDATE, update).answers::<BTreeMap<String, String>>(""),
        delete(ONE, policy::FLAVOR_EXTRA_SPECS_DELETE, remove),
    ]
}

value_body! {
    /// `POST /flavors/{id}/os-extra_specs`.
    struct NewSpecs(BTreeMap<String, AnyValue>) in "extra_specs";
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let flavor = find(&request, &id).await?;
    Ok(request.plain("extra_specs", flavor.extra_specs))
}

async fn show(
    request: Request,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<BTreeMap<String, String>>, ApiError> {
    let flavor = find(&request, &id).await?;
    let value = flavor.extra_specs.get(&key).cloned().ok_or_else(|| absent(&id, &key))?;
    Ok(Json([(key, value)].into()))
}

async fn create(request: Request, Path(id): Path<String>, NewSpecs(specs): NewSpecs) -> Result<Response, ApiError> {
    let specs: BTreeMap<String, Value> = specs.into_iter().map(|(key, AnyValue(value))| (key, value)).collect();
    let read = read(&request, "extra_specs", specs.iter())?;
    let (mut transaction, mut flavor) = lock(&request, &id).await?;
    flavor.extra_specs.extend(read);
    write(&mut transaction, &flavor).await?;
    transaction.commit().await?;
    Ok(request.plain("extra_specs", specs))
}

async fn update(
    mut request: Request,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let body = novella_rest::as_object(request.json().await?)?.clone();
    if body.len() != 1 {
        return Err(ApiError::bad_request("Malformed request body: one extra spec is expected, and nothing else."));
    }
    let read = read(&request, "", body.iter())?;
    if !read.contains_key(&key) {
        return Err(ApiError::bad_request("Request body and URI mismatch"));
    }
    let (mut transaction, mut flavor) = lock(&request, &id).await?;
    flavor.extra_specs.extend(read);
    write(&mut transaction, &flavor).await?;
    transaction.commit().await?;
    Ok(Json(body))
}

async fn remove(request: Request, Path((id, key)): Path<(String, String)>) -> Result<(), ApiError> {
    let (mut transaction, mut flavor) = lock(&request, &id).await?;
    flavor.extra_specs.remove(&key).ok_or_else(|| absent(&id, &key))?;
    write(&mut transaction, &flavor).await?;
    transaction.commit().await?;
    Ok(())
}

/// The flavor of this id, which nobody else changes meanwhile.
async fn lock(request: &Request, id: &str) -> Result<(Transaction, Flavor), ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let flavor = table::lock::<Flavor, _>(&mut transaction, id).await?;
    Ok((transaction, flavor.ok_or_else(|| super::not_found(id))?))
}

async fn write(transaction: &mut Transaction, flavor: &Flavor) -> Result<(), ApiError> {
    table::update(transaction, &flavor.id, flavor).await?;
    Ok(())
}

/// Extra specs as they are kept: numbers become their digits.
fn read<'s>(
    request: &Request,
    place: &str,
    specs: impl Iterator<Item = (&'s String, &'s Value)>,
) -> Result<BTreeMap<String, String>, ApiError> {
    const LONGEST: usize = 255;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | ' ');
    let mut read = BTreeMap::new();
    for (key, value) in specs {
        if !(1..=LONGEST).contains(&key.len()) || !key.chars().all(allowed) {
            return Err(novella_rest::refuse_unknown(place, key));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(wrong(key, other, &format!("{other} is not of type 'string', 'number'"))),
        };
        if text.chars().count() > LONGEST {
            return Err(wrong(key, value, "it is longer than 255 characters"));
        }
        if request.version.at_least(CHECKED_SINCE) {
            extra_spec_rules::check(key, &text).map_err(ApiError::bad_request)?;
        }
        read.insert(key.clone(), text);
    }
    Ok(read)
}

fn absent(id: &str, key: &str) -> ApiError {
    ApiError::not_found(format!("Flavor {id} has no extra specs with key {key}."))
}
