//! `POST /image/v2/images/{image_id}/import`: makes what was staged, or what is behind a URL, an image's bytes; and brings
//! bytes into further stores.
//!
//! What was staged is in a store already, hashed and inspected: importing it into that store is one transaction, done before
//! the answer. What is fetched or copied comes after it ([`super::copies`]).

use axum::Json;
use http::StatusCode;
use jiff::Timestamp;
use novella_common::db::{Connection, Transaction, table};
use novella_rest::{ApiError, Path, policy::Rule};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    copies::{Bytes, Copying, Target},
    fetch::Source,
    receive::Most,
    transitions::{FAILED, IMPORT_TASK, IMPORTING, activate, check_next, end_import, end_task, imported, most},
    upload::named_store,
};
use crate::{
    Images, Request, access,
    db::{
        self, Image, Task,
        objects::{self, Object},
    },
    policy,
    records::body,
    status::{ObjectState, Status, TaskStatus},
    tasks,
};

/// What is imported.
enum Method {
    /// What was staged.
    Direct,
    /// What is behind this.
    Fetch(String),
    /// What the image has, into further stores.
    Copy,
}

pub(super) async fn import(mut request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let body = body(&mut request).await?;
    let method = method(&request.state, &body)?;
    let mut transaction = request.state.database.begin().await?;
    let mut image = access::find_locked(&request.context, &mut transaction, &id).await?;
    check_state(&image, &method)?;
    access::check(&request.context, method.rule(), &image)?;
    if image.properties.contains_key(IMPORT_TASK) {
        return Err(ApiError::Conflict("Image has active task".into()));
    }
    let mut stores = stores(&request, &body)?;
    let present = match method {
        Method::Copy => copied_from(&mut transaction, &request.state, &image, &body, &mut stores).await?,
        _ => None,
    };
    if stores.is_empty() {
        // It is in all of them already.
        return Ok(StatusCode::ACCEPTED);
    }
    let source = match &method {
        Method::Fetch(uri) => Some(Source::allowed(uri, &request.state.config)?),
        _ => None,
    };
    let must_succeed = body.get("all_stores_must_succeed") != Some(&Value::Bool(false));
    let task = task(&request, &image, body, &stores);
    table::insert(&mut transaction, &task).await?;
    image.properties.insert(IMPORT_TASK.to_owned(), task.id.clone());
    image.properties.insert(IMPORTING.to_owned(), stores.join(","));
    image.properties.insert(FAILED.to_owned(), String::new());
    let images = request.state.clone();
    let mut most = Most { cap: u64::MAX, quota: None };
    let (bytes, present) = match (source, present) {
        (Some(source), _) => {
            check_next(&image, Status::Importing)?;
            most = self::most(&images, &mut transaction, &image, None).await?;
            (Bytes::Behind(source), false)
        }
        (None, Some(present)) => (Bytes::In(present), false),
        (None, None) => {
            let staged = staged(&mut transaction, &image).await?;
            let here = stores.iter().position(|store| *store == staged.store);
            if here.is_some() && stores.len() == 1 || staged.refusal.is_some() {
                let refused = make_staged_its_own(&mut transaction, &mut image, &task, &staged, &stores).await?;
                db::update(&mut transaction, &mut image).await?;
                transaction.commit().await?;
                images.remove_doomed(refused.into_iter().collect()).await;
                return Ok(StatusCode::ACCEPTED);
            }
            if let Some(here) = here {
                stores.remove(here);
                imported(&mut image.properties, &staged.store);
                objects::keep_staged(&mut transaction, staged.id).await?;
            }
            (Bytes::In(staged), here.is_some())
        }
    };
    let targets = targets(&mut transaction, &id, stores).await?;
    match (&bytes, present) {
        (Bytes::Behind(_), _) => {
            image.status = Status::Importing;
            image.object = targets.first().map(|target| target.object);
        }
        (Bytes::In(staged), true) if !must_succeed => activate(&mut image, staged),
        (Bytes::In(_), _) if image.status != Status::Active => image.status = Status::Importing,
        (Bytes::In(_), _) => {}
    }
    db::update(&mut transaction, &mut image).await?;
    transaction.commit().await?;
    let idle = request.config.body_timeout;
    Copying { image, task: task.id, bytes, is_present: present, targets, must_succeed, most, idle }.start(images);
    Ok(StatusCode::ACCEPTED)
}

impl Method {
    fn rule(&self) -> Rule {
        match self {
            Self::Direct | Self::Fetch(_) => policy::MODIFY_IMAGE,
            Self::Copy => policy::COPY_IMAGE,
        }
    }
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
    Ok(match name {
        "web-download" => Method::Fetch(uri()),
        "copy-image" => Method::Copy,
        _ => Method::Direct,
    })
}

fn check_state(image: &Image, method: &Method) -> Result<(), ApiError> {
    let conflict = |text: &str| Err(ApiError::Conflict(text.to_owned()));
    match (image.status, method) {
        (Status::Active, Method::Copy) => {}
        (_, Method::Copy) => return conflict("Only images with status active can be targeted for copying"),
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

/// The stores that an import is into.
///
/// # Errors
/// 400 for several ways to say that, 409 for a store that there is not.
fn stores(request: &Request, body: &Value) -> Result<Vec<String>, ApiError> {
    let all = &request.state.stores;
    let (named, header) = (body.get("stores"), named_store(request));
    if is_for_all(body) {
        if named.is_some() || header.is_some() {
            return Err(ApiError::bad_request(
                "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
            ));
        }
        return Ok(all.iter().map(|store| store.id.clone()).collect());
    }
    if named.is_some() && header.is_some() {
        return Err(ApiError::bad_request("Stores parameter and x-image-meta-store header can't be both specified"));
    }
    let mut stores: Vec<String> = Vec::new();
    for store in named.and_then(Value::as_array).into_iter().flatten() {
        let store = store.as_str().map_or_else(|| store.to_string(), ToOwned::to_owned);
        if !stores.contains(&store) {
            stores.push(store);
        }
    }
    if stores.is_empty() {
        stores.push(header.unwrap_or(all.default_id()).to_owned());
    }
    match stores.iter().find(|store| all.get(store).is_none()) {
        Some(unknown) => Err(ApiError::Conflict(format!("Store for identifier {unknown} not found"))),
        None => Ok(stores),
    }
}

fn is_for_all(body: &Value) -> bool {
    body.get("all_stores") == Some(&Value::Bool(true))
}

/// What is copied into further stores. Those that have it are taken from `stores` if all are asked for.
///
/// # Errors
/// 400 for one that has it, where it was named.
async fn copied_from(
    connection: &mut Connection,
    images: &Images,
    image: &Image,
    body: &Value,
    stores: &mut Vec<String>,
) -> Result<Option<Object>, ApiError> {
    let copies = objects::copies(connection, &image.id).await?;
    let has_it = |store: &String| copies.iter().any(|copy| copy.store == *store);
    if is_for_all(body) {
        stores.retain(|store| !has_it(store));
    } else if let Some(present) = stores.iter().find(|store| has_it(store)) {
        return Err(ApiError::bad_request(format!("Image is already present at store '{present}'")));
    }
    let source = copies.into_iter().min_by_key(|copy| images.stores.rank(&copy.store));
    match source {
        Some(source) => Ok(Some(source)),
        None => Err(ApiError::Conflict(format!("Image {} has no bytes in any store.", image.id))),
    }
}

/// Says that bytes will be written into each of these stores.
async fn targets(transaction: &mut Transaction, image: &str, stores: Vec<String>) -> Result<Vec<Target>, ApiError> {
    let mut targets = Vec::new();
    for store in stores {
        let object = objects::begin(transaction, image, &store).await?;
        targets.push(Target { store, object });
    }
    Ok(targets)
}

fn task(request: &Request, image: &Image, body: Value, stores: &[String]) -> Task {
    let now = Timestamp::now();
    Task {
        id: Uuid::new_v4().to_string(),
        kind: "api_image_import".into(),
        status: TaskStatus::Processing,
        owner: request.context.project_id.clone(),
        image_id: Some(image.id.clone()),
        user_id: request.context.user_id.clone(),
        request_id: Some(request.context.request_id.clone()),
        input: json!({"image_id": image.id, "import_req": body, "backend": stores}),
        result: Value::Null,
        message: String::new(),
        created_at: now,
        updated_at: now,
        expires_at: None,
    }
}

/// What waits to be imported. An earlier version called it kept.
async fn staged(transaction: &mut Connection, image: &Image) -> Result<Object, ApiError> {
    let found = match image.object {
        Some(id) => objects::get(transaction, id).await?,
        None => None,
    };
    found
        .filter(|object| matches!(object.state, ObjectState::Staged | ObjectState::Kept))
        .ok_or_else(|| ApiError::Conflict("Image needs to be staged before 'glance-direct' method can be used".into()))
}

/// Makes the staged bytes the image's. If they may not be, they are nobody's any more, and the image is as before: those that
/// are to be removed are returned.
async fn make_staged_its_own(
    transaction: &mut Connection,
    image: &mut Image,
    task: &Task,
    staged: &Object,
    stores: &[String],
) -> Result<Option<Uuid>, ApiError> {
    let Some(refusal) = &staged.refusal else {
        end_import(&mut image.properties, &[]);
        objects::keep_staged(transaction, staged.id).await?;
        activate(image, staged);
        end_task(transaction, &task.id, Ok(staged)).await?;
        return Ok(None);
    };
    end_import(&mut image.properties, stores);
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
