//! The parts of a namespace: each kind says how it is shown and what is said of one that is not there.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jiff::Timestamp;
use novella_common::db::table;
use novella_rest::{ApiError, FieldTable, Operation, Path, delete, field, get, post, put, times::Seconds};
use serde_json::{Map, Value, json};

use super::{Part, find, part, parts, remove, replace};
use crate::{Images, Request, list::limit, policy, records::body, schema::validate};

/// A kind of parts.
pub(super) trait Kind: Send + Sync + 'static {
    /// Its name in the database, and in errors.
    const KIND: &'static str;
    /// The key of several, and where they are below a namespace.
    const MANY: &'static str;
    /// The schema that one is held against.
    const SCHEMA: &'static str;

    /// One, as Glance shows it.
    fn view(part: &Part) -> Value;

    /// The text of a 404.
    fn missing(name: &str) -> String;

    /// The text of a 409.
    fn taken(part: &Part) -> String {
        let Part { kind, name, namespace, .. } = part;
        format!("A metadata definition {kind} with name={name} already exists in namespace={namespace}.")
    }

    /// Several.
    fn list(parts: &[Part]) -> Value {
        json!({ Self::MANY: parts.iter().map(Self::view).collect::<Vec<_>>() })
    }
}

/// A part's own fields with its name, and its times where they are shown.
fn shown(part: &Part, times: bool) -> Value {
    let mut shown = part.body.clone();
    shown.insert("name".into(), json!(part.name));
    if times {
        shown.insert("created_at".into(), json!(Seconds(part.created_at)));
        shown.insert("updated_at".into(), json!(Seconds(part.updated_at)));
    }
    Value::Object(shown)
}

/// Groups of properties.
pub(super) struct Objects;

impl Kind for Objects {
    const KIND: &'static str = "object";
    const MANY: &'static str = "objects";
    const SCHEMA: &'static str = "metadefs/object";

    fn view(part: &Part) -> Value {
        let mut view = shown(part, true);
        if view.get("required").is_none() {
            view["required"] = json!([]);
        }
        view["self"] = json!(format!("/v2/metadefs/namespaces/{}/objects/{}", part.namespace, part.name));
        view["schema"] = json!("/v2/schemas/metadefs/object");
        view
    }

    fn missing(name: &str) -> String {
        format!("Could not find metadata object {name}")
    }

    fn list(parts: &[Part]) -> Value {
        let objects: Vec<Value> = parts.iter().map(Self::view).collect();
        json!({"objects": objects, "schema": "v2/schemas/metadefs/objects"})
    }
}

/// Properties.
pub(super) struct Properties;

impl Kind for Properties {
    const KIND: &'static str = "property";
    const MANY: &'static str = "properties";
    const SCHEMA: &'static str = "metadefs/property";

    fn view(part: &Part) -> Value {
        shown(part, false)
    }

    fn missing(name: &str) -> String {
        format!("Could not find property {name}")
    }

    /// By their names.
    fn list(parts: &[Part]) -> Value {
        let properties: Map<String, Value> = parts.iter().map(|part| (part.name.clone(), Self::view(part))).collect();
        json!({ "properties": properties })
    }
}

/// Words.
pub(super) struct Tags;

impl Kind for Tags {
    const KIND: &'static str = "tag";
    const MANY: &'static str = "tags";
    const SCHEMA: &'static str = "metadefs/tag";

    fn view(part: &Part) -> Value {
        shown(part, true)
    }

    fn missing(name: &str) -> String {
        format!("Could not find metadata tag {name}")
    }

    fn taken(part: &Part) -> String {
        let Part { name, namespace, .. } = part;
        format!(
            "A metadata tag with name={name} already exists in namespace={namespace}. (Please note that metadata tag names \
             are case insensitive)."
        )
    }

    fn list(parts: &[Part]) -> Value {
        json!({"tags": parts.iter().map(|part| json!({"name": part.name})).collect::<Vec<_>>()})
    }
}

/// Types of resources that a namespace is for.
pub(super) struct ResourceTypes;

impl Kind for ResourceTypes {
    const KIND: &'static str = "resource_type";
    const MANY: &'static str = "resource_types";
    const SCHEMA: &'static str = "metadefs/resource_type";

    fn view(part: &Part) -> Value {
        shown(part, true)
    }

    fn missing(name: &str) -> String {
        format!("Failed to find resource type {name} to delete")
    }

    fn taken(part: &Part) -> String {
        let Part { name, namespace, .. } = part;
        format!(
            "The metadata definition resource-type association of resource-type={name} to namespace={namespace} already \
             exists."
        )
    }

    fn list(parts: &[Part]) -> Value {
        json!({"resource_type_associations": parts.iter().map(Self::view).collect::<Vec<_>>()})
    }
}

pub(super) fn operations() -> Vec<Operation<Images>> {
    const OBJECTS: &str = "/metadefs/namespaces/{namespace}/objects";
    const OBJECT: &str = "/metadefs/namespaces/{namespace}/objects/{name}";
    const PROPERTIES: &str = "/metadefs/namespaces/{namespace}/properties";
    const PROPERTY: &str = "/metadefs/namespaces/{namespace}/properties/{name}";
    const TAGS: &str = "/metadefs/namespaces/{namespace}/tags";
    const TAG: &str = "/metadefs/namespaces/{namespace}/tags/{name}";
    const TYPES: &str = "/metadefs/namespaces/{namespace}/resource_types";
    const TYPE: &str = "/metadefs/namespaces/{namespace}/resource_types/{name}";
    const PAGED: FieldTable = FieldTable(&[field("limit"), field("marker")]);
    vec![
        get(OBJECTS, policy::GET_METADEF_OBJECTS, index::<Objects>).query(PAGED, u16::MAX),
        post(OBJECTS, policy::ADD_METADEF_OBJECT, create::<Objects>).status(201),
        delete(OBJECTS, policy::DELETE_METADEF_OBJECT, clear::<Objects>).summary("Delete all objects.").status(204),
        get(OBJECT, policy::GET_METADEF_OBJECT, show::<Objects>),
        put(OBJECT, policy::MODIFY_METADEF_OBJECT, update::<Objects>),
        delete(OBJECT, policy::DELETE_METADEF_OBJECT, remove_one::<Objects>).status(204),
        get(PROPERTIES, policy::GET_METADEF_PROPERTIES, index::<Properties>),
        post(PROPERTIES, policy::ADD_METADEF_PROPERTY, create::<Properties>).status(201),
        delete(PROPERTIES, policy::REMOVE_METADEF_PROPERTY, clear::<Properties>)
            .summary("Delete all properties.")
            .status(204),
        get(PROPERTY, policy::GET_METADEF_PROPERTY, show::<Properties>),
        put(PROPERTY, policy::MODIFY_METADEF_PROPERTY, update::<Properties>),
        delete(PROPERTY, policy::REMOVE_METADEF_PROPERTY, remove_one::<Properties>).status(204),
        get(TAGS, policy::GET_METADEF_TAGS, index::<Tags>).query(PAGED, u16::MAX),
        post(TAGS, policy::ADD_METADEF_TAGS, replace_tags).status(201),
        delete(TAGS, policy::DELETE_METADEF_TAGS, clear::<Tags>).status(204),
        get(TAG, policy::GET_METADEF_TAG, show::<Tags>),
        post(TAG, policy::ADD_METADEF_TAG, create_tag).status(201),
        put(TAG, policy::MODIFY_METADEF_TAG, update::<Tags>),
        delete(TAG, policy::DELETE_METADEF_TAG, remove_one::<Tags>).status(204),
        get(TYPES, policy::GET_METADEF_RESOURCE_TYPE, index::<ResourceTypes>),
        post(TYPES, policy::ADD_METADEF_RESOURCE_TYPE_ASSOCIATION, create::<ResourceTypes>).status(201),
        delete(TYPE, policy::REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION, remove_one::<ResourceTypes>).status(204),
    ]
}

/// The part that a body describes.
///
/// # Errors
/// 400 without a name.
pub(super) fn described(namespace: &str, kind: &str, item: &Value) -> Result<Part, ApiError> {
    let mut body = item.as_object().cloned().unwrap_or_default();
    let name = body.remove("name");
    let name = name.as_ref().and_then(Value::as_str).ok_or_else(|| {
        ApiError::bad_request(format!("Provided object does not match schema '{kind}': 'name' is a required property"))
    })?;
    for shown in ["created_at", "updated_at", "self", "schema"] {
        body.remove(shown);
    }
    let now = Timestamp::now();
    Ok(Part {
        namespace: namespace.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        body,
        created_at: now,
        updated_at: now,
    })
}

fn no_namespace(name: &str) -> String {
    format!("Namespace {name} not found")
}

async fn index<K: Kind>(request: Request, Path(namespace): Path<String>) -> Result<Json<Value>, ApiError> {
    let limit = limit(&request.query)?;
    let mut connection = request.state.database.read().await?;
    find(&request, &mut connection, &namespace, false, || no_namespace(&namespace)).await?;
    let mut found = parts(&mut connection, &namespace, Some(K::KIND)).await?;
    if let Some(marker) = request.query.get("marker") {
        let place = found.iter().position(|part| part.name == marker);
        let place = place.ok_or_else(|| ApiError::not_found(K::missing(marker)))?;
        found.drain(..=place);
    }
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
        found.truncate(limit);
    }
    Ok(Json(K::list(&found)))
}

async fn show<K: Kind>(
    request: Request,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    find(&request, &mut connection, &namespace, false, || no_namespace(&namespace)).await?;
    let found = part(&mut connection, &namespace, K::KIND, &name).await?;
    found.map(|part| Json(K::view(&part))).ok_or_else(|| ApiError::not_found(K::missing(&name)))
}

async fn create<K: Kind>(mut request: Request, Path(namespace): Path<String>) -> Result<Response, ApiError> {
    let body = body(&mut request).await?;
    validate(K::SCHEMA, &body)?;
    store::<K>(&request, described(&namespace, K::KIND, &body)?).await
}

async fn create_tag(request: Request, Path((namespace, name)): Path<(String, String)>) -> Result<Response, ApiError> {
    let body = json!({"name": name});
    validate(Tags::SCHEMA, &body)?;
    store::<Tags>(&request, described(&namespace, Tags::KIND, &body)?).await
}

async fn store<K: Kind>(request: &Request, part: Part) -> Result<Response, ApiError> {
    let namespace = &part.namespace;
    let mut transaction = request.state.database.begin().await?;
    find(request, &mut transaction, namespace, true, || no_namespace(namespace)).await?;
    table::insert(&mut transaction, &part).await.map_err(|error| {
        if error.is_unique_violation() { ApiError::Conflict(K::taken(&part)) } else { error.into() }
    })?;
    transaction.commit().await?;
    let location = request.links.to(&format!("metadefs/namespaces/{namespace}/{}/{}", K::MANY, part.name));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(K::view(&part))).into_response())
}

async fn update<K: Kind>(
    mut request: Request,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let body = body(&mut request).await?;
    validate(K::SCHEMA, &body)?;
    let mut transaction = request.state.database.begin().await?;
    find(&request, &mut transaction, &namespace, true, || no_namespace(&namespace)).await?;
    let before = part(&mut transaction, &namespace, K::KIND, &name).await?;
    let before = before.ok_or_else(|| ApiError::not_found(K::missing(&name)))?;
    let after = Part { created_at: before.created_at, ..described(&namespace, K::KIND, &body)? };
    replace(&mut transaction, &name, &after).await.map_err(|error| {
        if error.is_unique_violation() { ApiError::Conflict(K::taken(&after)) } else { error.into() }
    })?;
    transaction.commit().await?;
    Ok(Json(K::view(&after)))
}

async fn remove_one<K: Kind>(
    request: Request,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    find(&request, &mut transaction, &namespace, true, || no_namespace(&namespace)).await?;
    if part(&mut transaction, &namespace, K::KIND, &name).await?.is_none() {
        return Err(ApiError::not_found(K::missing(&name)));
    }
    remove(&mut transaction, &namespace, K::KIND, Some(&name)).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear<K: Kind>(request: Request, Path(namespace): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    find(&request, &mut transaction, &namespace, true, || no_namespace(&namespace)).await?;
    remove(&mut transaction, &namespace, K::KIND, None).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tags of a namespace are these from now on.
async fn replace_tags(mut request: Request, Path(namespace): Path<String>) -> Result<Response, ApiError> {
    let body = body(&mut request).await?;
    let given = body.get("tags").and_then(Value::as_array);
    let given = given.ok_or_else(|| {
        ApiError::bad_request("Provided object does not match schema 'tags': 'tags' is a required property")
    })?;
    let mut tags: Vec<Part> = Vec::new();
    for tag in given {
        validate(Tags::SCHEMA, tag)?;
        let tag = described(&namespace, Tags::KIND, tag)?;
        if !tags.iter().any(|known| known.name == tag.name) {
            tags.push(tag);
        }
    }
    let mut transaction = request.state.database.begin().await?;
    find(&request, &mut transaction, &namespace, true, || no_namespace(&namespace)).await?;
    remove(&mut transaction, &namespace, Tags::KIND, None).await?;
    for tag in &tags {
        table::insert(&mut transaction, tag).await?;
    }
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(Tags::list(&tags))).into_response())
}
