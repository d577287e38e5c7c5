//! `/servers/{id}/metadata`: pairs that users keep with a server.

use std::collections::BTreeMap;

use axum::{http::StatusCode, response::Response};
use novella_common::{db::instances::edits, lifecycle::VmState, models::Instance};
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};

use super::{super::quotas::Limits, metadata_rules::Metadata, operation::check_unlocked};
use crate::{Request, policy, state::Api};

/// How often a change looks again when somebody else's came first.
const ATTEMPTS: usize = 5;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/servers/{server_id}/metadata";
    const ONE: &str = "/servers/{server_id}/metadata/{key}";
    vec![
        get(ALL, policy::SERVER_METADATA_INDEX, index).answers::<Metadata>("metadata"),
        post(ALL, policy::SERVER_METADATA_CREATE, merge).answers::<Metadata>("metadata"),
        put(ALL, policy::SERVER_METADATA_UPDATE_ALL, replace).answers::<Metadata>("metadata"),
        get(ONE, policy::SERVER_METADATA_SHOW, show).answers::<Metadata>("meta"),
        put(ONE, policy::SERVER_METADATA_UPDATE, set_one).answers::<Metadata>("meta"),
        delete(ONE, policy::SERVER_METADATA_DELETE, delete_one).status(204),
    ]
}

/// What is done to a server's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Pairs are written, as many as there may be.
    Update,
    /// A pair is taken away, however many there are.
    Delete,
}

impl Change {
    /// As Nova calls it.
    fn verb(self) -> &'static str {
        match self {
            Self::Update => "update metadata",
            Self::Delete => "delete metadata",
        }
    }
}

novella_rest::value_body! {
    /// Pairs to be added or to replace those that are there.
    struct All(Metadata) in "metadata";
}

novella_rest::value_body! {
    /// One pair.
    struct One(Metadata) in "meta";
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    Ok(request.plain("metadata", instance.metadata))
}

async fn merge(request: Request, Path(id): Path<String>, All(Metadata(new)): All) -> Result<Response, ApiError> {
    let metadata = change(&request, &id, Change::Update, |mut metadata| {
        metadata.extend(new.clone());
        Ok(metadata)
    });
    Ok(request.plain("metadata", metadata.await?))
}

async fn replace(request: Request, Path(id): Path<String>, All(Metadata(new)): All) -> Result<Response, ApiError> {
    let metadata = change(&request, &id, Change::Update, |_| Ok(new.clone())).await?;
    Ok(request.plain("metadata", metadata))
}

async fn show(request: Request, Path((id, key)): Path<(String, String)>) -> Result<Response, ApiError> {
    let mut instance = super::find(&request, &id).await?;
    let value = instance.metadata.remove(&key).ok_or_else(no_such_item)?;
    Ok(request.plain("meta", BTreeMap::from([(key, value)])))
}

async fn set_one(
    request: Request,
    Path((id, key)): Path<(String, String)>,
    One(Metadata(meta)): One,
) -> Result<Response, ApiError> {
    if meta.len() != 1 {
        return Err(ApiError::bad_request("Invalid input for field/attribute meta. One item is expected."));
    }
    if !meta.contains_key(&key) {
        return Err(ApiError::bad_request("Request body and URI mismatch"));
    }
    let changed = change(&request, &id, Change::Update, |mut metadata| {
        metadata.extend(meta.clone());
        Ok(metadata)
    });
    changed.await?;
    Ok(request.plain("meta", meta))
}

async fn delete_one(request: Request, Path((id, key)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let changed = change(&request, &id, Change::Delete, |mut metadata| match metadata.remove(&key) {
        Some(_) => Ok(metadata),
        None => Err(no_such_item()),
    });
    changed.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_such_item() -> ApiError {
    ApiError::not_found("Metadata item was not found")
}

/// Changes a server's metadata by compare-and-swap: two changes at once both come to be.
async fn change<F>(request: &Request, id: &str, what: Change, change: F) -> Result<BTreeMap<String, String>, ApiError>
where
    F: Fn(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError>,
{
    for _ in 0..ATTEMPTS {
        let instance = super::find(request, id).await?;
        check_unlocked(&request.context, &instance)?;
        check_state(&instance, what)?;
        let metadata = change(instance.metadata.clone())?;
        if what == Change::Update {
            let limits = Limits::of_caller(&mut *request.state.database.read().await?, request).await?;
            limits.check_metadata(metadata.len())?;
        }
        if edits::replace_metadata(&mut *request.state.database.write().await?, &instance, &metadata).await? {
            return Ok(metadata);
        }
    }
    Err(ApiError::Conflict(format!("The metadata of instance {id} changes all the time. Please try again.")))
}

/// As in Nova: once it runs, or ran, and is not broken.
fn check_state(instance: &Instance, what: Change) -> Result<(), ApiError> {
    match instance.vm_state {
        VmState::Active | VmState::Paused | VmState::Suspended | VmState::Stopped => Ok(()),
        state => Err(ApiError::Conflict(format!(
            "Cannot '{}' instance {} while it is in vm_state {state}",
            what.verb(),
            instance.uuid
        ))),
    }
}
