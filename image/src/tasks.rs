//! `/image/v2/tasks`: Glance's old way to import, which administrators can still ask about. Tasks that import an image are
//! made by `POST /images/{image_id}/import`; by this way none are, since no URL may be fetched without it.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use novella_common::db::{
    Bind as _,
    list::{Condition, Direction, List, SortKey},
    table::{self, select},
};
use novella_rest::{
    ApiError, FieldTable, Operation, Parameters, Path, delete, field, get, post,
    times::{Micros, Seconds},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Images, Request,
    db::Task,
    list::limit,
    policy,
    records::body,
    schema::{is_uuid, validate},
    status::TaskStatus,
};

/// How long a task is kept after it has ended: Glance's `task_time_to_live`.
pub(crate) const KEPT_FOR: SignedDuration = SignedDuration::from_hours(48);
/// Glance's page when no limit is given.
const DEFAULT_LIMIT: i64 = 25;

const QUERY: FieldTable = FieldTable(&[
    field("status"),
    field("type"),
    field("limit"),
    field("marker"),
    field("sort_key"),
    field("sort_dir"),
]);

pub(crate) fn operations() -> Vec<Operation<Images>> {
    vec![
        get("/tasks", policy::TASKS_API_ACCESS, index).summary("List tasks.").query(QUERY, u16::MAX),
        post("/tasks", policy::TASKS_API_ACCESS, create).summary("Make a task that imports an image.").status(201),
        get("/tasks/{task_id}", policy::TASKS_API_ACCESS, show).summary("Show a task."),
        delete("/tasks/{task_id}", policy::TASKS_API_ACCESS, remove).summary("Refused: tasks go by themselves."),
    ]
}

/// What a list shows of a task.
fn stub(task: &Task) -> Value {
    let mut shown = json!({
        "id": task.id,
        "type": task.kind,
        "status": task.status.as_str(),
        "owner": task.owner,
        "created_at": Seconds(task.created_at),
        "updated_at": Seconds(task.updated_at),
        "self": format!("/v2/tasks/{}", task.id),
        "schema": "/v2/schemas/task",
    });
    if let Some(expires) = task.expires_at {
        shown["expires_at"] = json!(Seconds(expires));
    }
    shown
}

fn view(task: &Task) -> Value {
    let mut shown = stub(task);
    shown["input"] = task.input.clone();
    shown["message"] = json!(task.message);
    shown["result"] = task.result.clone();
    for (name, value) in [("image_id", &task.image_id), ("request_id", &task.request_id), ("user_id", &task.user_id)] {
        if let Some(value) = value {
            shown[name] = json!(value);
        }
    }
    shown
}

/// What the list of an image's tasks shows of one.
pub(crate) fn in_image(task: Task) -> Value {
    json!({
        "id": task.id,
        "type": task.kind,
        "status": task.status.as_str(),
        "owner": task.owner,
        "image_id": task.image_id,
        "user_id": task.user_id,
        "request_id": task.request_id,
        "input": task.input,
        "result": task.result,
        "message": task.message,
        "created_at": Micros(task.created_at),
        "updated_at": Micros(task.updated_at),
        "expires_at": task.expires_at.map(Micros),
        "deleted": false,
        "deleted_at": null,
    })
}

async fn find(request: &Request, id: &str) -> Result<Task, ApiError> {
    let none = || ApiError::not_found(format!("Could not find task {id}"));
    if id.to_value().is_err() {
        return Err(none());
    }
    let mut connection = request.state.database.read().await?;
    let found: Option<Task> = select::<Task>().push(" WHERE id = ").bind(id).fetch_optional(&mut connection).await?;
    found.ok_or_else(none)
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    Ok(Json(view(&find(&request, &id).await?)))
}

async fn remove(_: Request, Path(_): Path<String>) -> Result<StatusCode, ApiError> {
    Err(ApiError::Typed {
        status: StatusCode::METHOD_NOT_ALLOWED,
        kind: "",
        text: "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based \
               on their expires_at property."
            .into(),
    })
}

async fn create(mut request: Request) -> Result<Response, ApiError> {
    let body = body(&mut request).await?;
    for name in ["type", "input"] {
        if body.get(name).is_none() {
            return Err(ApiError::bad_request(format!("Task '{name}' is required")));
        }
    }
    validate("task", &body)?;
    let kind = body["type"].as_str().unwrap_or_default().to_owned();
    if kind == "import" {
        // Whatever it names: what may be fetched is fetched by `web-download`.
        let from = body["input"]["import_from"].as_str().unwrap_or_default();
        return Err(ApiError::bad_request(refusal(from)));
    }
    let now = Timestamp::now();
    let task = Task {
        id: Uuid::new_v4().to_string(),
        kind,
        // There is nobody to do it, as in Glance.
        status: TaskStatus::Failure,
        owner: request.context.project_id.clone(),
        image_id: body["input"]["image_id"].as_str().map(ToOwned::to_owned),
        user_id: request.context.user_id.clone(),
        request_id: Some(request.context.request_id.clone()),
        input: body["input"].clone(),
        result: Value::Null,
        message: "A task of this type is made by an import of an image only.".into(),
        created_at: now,
        updated_at: now,
        expires_at: Some(now + KEPT_FOR),
    };
    table::insert(&mut *request.state.database.write().await?, &task).await?;
    let location = request.links.to(&format!("tasks/{}", task.id));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view(&task))).into_response())
}

/// Why nothing is imported from there, as Glance says it.
fn refusal(from: &str) -> String {
    match from.split_once(':').map(|(scheme, _)| scheme) {
        Some("http" | "https") => {
            // It is done by the import method `web-download`, if at all.
            format!("URI for legacy import task does not pass filtering: {from}")
        }
        Some("file" | "filesystem") => {
            "File based imports are not allowed. Please use a non-local source of image data.".to_owned()
        }
        _ => format!("Unsupported scheme in the location '{from}'."),
    }
}

async fn index(request: Request) -> Result<Json<Value>, ApiError> {
    let query = &request.query;
    let limit = limit(query)?.unwrap_or(DEFAULT_LIMIT).min(i64::from(request.config.max_limit));
    let mut list = List::<Task>::all();
    if let Some(status) = query.get("status").filter(|status| !status.is_empty()) {
        let status: TaskStatus =
            status.parse().map_err(|_| ApiError::bad_request(format!("Invalid status value: {status}")))?;
        list = list.filter(Condition::equal("status", &status));
    }
    if let Some(kind) = query.get("type").filter(|kind| !kind.is_empty()) {
        if kind != "import" {
            return Err(ApiError::bad_request(format!("Invalid type value: {kind}")));
        }
        list = list.filter(Condition::equal("type", kind));
    }
    let (key, direction) = order(query)?;
    let list = list.sort(key, direction).sort(SortKey::text("id"), direction);
    let marker = query.get("marker");
    if marker.is_some_and(|marker| !is_uuid(marker)) {
        return Err(ApiError::bad_request("Invalid marker format"));
    }
    let found = list.marker_text(marker).limit(limit).page(&mut *request.state.database.read().await?).await?;
    let found =
        found.ok_or_else(|| ApiError::bad_request(format!("No task found with ID {}", marker.unwrap_or_default())))?;
    let full = i64::try_from(found.len()).is_ok_and(|len| len == limit && len > 0);
    let page = |after: Option<&str>| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(query.iter().filter(|(name, _)| *name != "marker"));
        text.extend_pairs(after.map(|id| ("marker", id)));
        match text.finish().as_str() {
            "" => "/v2/tasks".to_owned(),
            query => format!("/v2/tasks?{query}"),
        }
    };
    let mut body = json!({
        "tasks": found.iter().map(stub).collect::<Vec<_>>(),
        "first": page(None),
        "schema": "/v2/schemas/tasks",
    });
    if let Some(last) = found.last().filter(|_| full) {
        body["next"] = page(Some(&last.id)).into();
    }
    Ok(Json(body))
}

fn order(query: &Parameters) -> Result<(SortKey, Direction), ApiError> {
    let direction = match query.get("sort_dir").unwrap_or("desc") {
        "asc" => Direction::Ascending,
        "desc" => Direction::Descending,
        other => return Err(ApiError::bad_request(format!("Invalid sort direction: {other}"))),
    };
    let key = match query.get("sort_key").unwrap_or("created_at") {
        "created_at" => SortKey::time("created_at"),
        "updated_at" => SortKey::time("updated_at"),
        "id" => SortKey::text("id"),
        "status" => SortKey::text("status"),
        "type" => SortKey::text("type"),
        other => return Err(ApiError::bad_request(format!("Sort key supplied was not valid: {other}."))),
    };
    Ok((key, direction))
}
