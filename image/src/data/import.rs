//! `POST /image/v2/images/{image_id}/import`: makes what was staged, or what is behind a URL, an image's bytes.
//!
//! What was staged is in the store already, hashed and inspected: importing it is one transaction, done before the answer. What
//! is fetched comes after it, as an upload does.

use axum::Json;
use http::StatusCode;
use jiff::Timestamp;
use novella_common::db::{Connection, table};
use novella_rest::{ApiError, Path};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fetch::{self, Source},
    transitions::{FAILED, IMPORT_TASK, IMPORTING, activate, check_next, end_import, end_task},
    upload::check_store,
};
use crate::{
    Images, Request, access,
    db::{self, Image, Task, objects},
    policy,
    records::body,
    status::{ObjectState, Status, TaskStatus},
    store::STORE,
    tasks,
};

/// What is imported.
enum Method {
    /// What was staged.
    Direct,
    /// What is behind this.
    Fetch(String),
}

pub(super) async fn import(mut request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let body = body(&mut request).await?;
    let method = method(&request.state, &body)?;
    let mut transaction = request.state.database.begin().await?;
    let mut image = access::find_locked(&request, &mut transaction, &id).await?;
    check_state(&image, &method)?;
    access::check(&request, policy::MODIFY_IMAGE, &image)?;
    if image.properties.contains_key(IMPORT_TASK) {
        return Err(ApiError::Conflict("Image has active task".into()));
    }
    check_stores(&request, &body)?;
    let source = match &method {
        Method::Direct => None,
        Method::Fetch(uri) => Some(Source::allowed(uri, &request.state.config)?),
    };
    let task = task(&request, &image, body);
    table::insert(&mut transaction, &task).await?;
    image.properties.insert(IMPORT_TASK.to_owned(), task.id.clone());
    image.properties.insert(IMPORTING.to_owned(), STORE.to_owned());
    image.properties.insert(FAILED.to_owned(), String::new());
    let images = request.state.clone();
    match source {
        None => {
            let refused = make_staged_its_own(&mut transaction, &mut image, &task).await?;
            db::update(&mut transaction, &mut image).await?;
            transaction.commit().await?;
            images.remove_doomed(refused.into_iter().collect()).await;
        }
        Some(source) => {
            check_next(&image, Status::Importing)?;
            let most = super::transitions::most(&images, &mut transaction, &image, None).await?;
            let object = objects::begin(&mut transaction, &id).await?;
            image.status = Status::Importing;
            image.object = Some(object);
            db::update(&mut transaction, &mut image).await?;
            transaction.commit().await?;
            fetch::start(images, image, object, source, most, request.config.body_timeout);
        }
    }
    Ok(StatusCode::ACCEPTED)
}

/// The method that a body asks for.
fn method(images: &Images, body: &Value) -> Result<Method, ApiError> {
    let refused = |text: &str| ApiError::bad_request(text.to_owned());
    let method = body.get("method").ok_or_else(|| refused("Import request requires a 'method' field."))?;
    let name = method.get("name").ok_or_else(|| refused("Import request requires a 'name' field."))?;
    let name = name.as_str().unwrap_or_default();
    if !images.config.import_methods().contains(&name) {
        return Err(ApiError::bad_request(format!("Unknown import method name '{name}'.")));
    }
    for flag in ["all_stores_must_succeed", "all_stores"] {
        if body.get(flag).is_some_and(|value| !value.is_boolean()) {
            return Err(ApiError::bad_request(format!("'{flag}' must be boolean value only")));
        }
    }
    let uri = || method.get("uri").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(if name == "web-download" { Method::Fetch(uri()) } else { Method::Direct })
}

fn check_state(image: &Image, method: &Method) -> Result<(), ApiError> {
    let conflict = |text: &str| Err(ApiError::Conflict(text.to_owned()));
    match (image.status, method) {
        (Status::Active, _) => return conflict("Image with status active cannot be target for import"),
        (Status::Queued, Method::Fetch(_)) | (Status::Uploading, Method::Direct) => {}
        (_, Method::Fetch(_)) => return conflict("Image needs to be in 'queued' state to use 'web-download' method"),
        (_, Method::Direct) => {
            return conflict("Image needs to be staged before 'glance-direct' method can be used");
        }
    }
    for (name, value) in [("container_format", &image.container_format), ("disk_format", &image.disk_format)] {
        if value.is_none() {
            return conflict(&format!("'{name}' needs to be set before import"));
        }
    }
    Ok(())
}

/// There is one store, and no other can be named.
fn check_stores(request: &Request, body: &Value) -> Result<(), ApiError> {
    let named = body.get("stores").and_then(Value::as_array);
    let unknown = named.into_iter().flatten().find(|store| store.as_str() != Some(STORE));
    if let Some(unknown) = unknown {
        let unknown = unknown.as_str().map_or_else(|| unknown.to_string(), ToOwned::to_owned);
        return Err(ApiError::Conflict(format!("Store for identifier {unknown} not found")));
    }
    check_store(request).map_err(|error| ApiError::Conflict(error.to_string()))
}

fn task(request: &Request, image: &Image, body: Value) -> Task {
    let now = Timestamp::now();
    Task {
        id: Uuid::new_v4().to_string(),
        kind: "api_image_import".into(),
        status: TaskStatus::Processing,
        owner: request.context.project_id.clone(),
        image_id: Some(image.id.clone()),
        user_id: request.context.user_id.clone(),
        request_id: Some(request.context.request_id.clone()),
        input: json!({"image_id": image.id, "import_req": body, "backend": [STORE]}),
        result: Value::Null,
        message: String::new(),
        created_at: now,
        updated_at: now,
        expires_at: None,
    }
}

/// Makes the staged bytes the image's. If they may not be, they are nobody's any more, and the image is as before: those that
/// are to be removed are returned.
async fn make_staged_its_own(
    transaction: &mut Connection,
    image: &mut Image,
    task: &Task,
) -> Result<Option<Uuid>, ApiError> {
    let staged = match image.object {
        Some(id) => objects::get(transaction, id).await?.filter(|object| object.state == ObjectState::Kept),
        None => None,
    };
    let staged = staged.ok_or_else(|| {
        ApiError::Conflict("Image needs to be staged before 'glance-direct' method can be used".into())
    })?;
    end_import(&mut image.properties, staged.refusal.is_none());
    let Some(refusal) = &staged.refusal else {
        activate(image, &staged);
        end_task(transaction, &task.id, Ok(&staged)).await?;
        return Ok(None);
    };
    image.status = Status::Queued;
    image.object = None;
    image.size = None;
    objects::doom(transaction, staged.id).await?;
    end_task(transaction, &task.id, Err(refusal)).await?;
    Ok(Some(staged.id))
}

/// What was done to import an image.
pub(super) async fn tasks(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    access::find(&request, &mut connection, &id).await.map_err(|error| match error {
        ApiError::NotFound(_) => ApiError::no_such_path(),
        other => other,
    })?;
    let tasks = db::tasks_of(&mut connection, &id).await?;
    Ok(Json(json!({"tasks": tasks.into_iter().map(tasks::in_image).collect::<Vec<_>>()})))
}
