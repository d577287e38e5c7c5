//! `/image/v2/metadefs/namespaces`, and the types of resources that there are.

use std::collections::BTreeSet;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jiff::Timestamp;
use novella_common::{
    db::{
        Connection,
        list::{Condition, Direction, List, SortKey},
        table,
    },
    sql,
};
use novella_rest::{ApiError, FieldTable, Operation, Path, delete, field, get, post, put, times::Seconds};
use serde_json::{Map, Value, json};

use super::{
    Namespace, Part, find, parts as parts_of,
    parts::{Kind, Objects, Properties, ResourceTypes, Tags, described},
};
use crate::{Images, Request, list::limit, policy, records::body, schema::validate};

const QUERY: FieldTable = FieldTable(&[
    field("limit"),
    field("marker"),
    field("sort_key"),
    field("sort_dir"),
    field("visibility"),
    field("resource_types"),
]);

/// The types that Glance's own definitions are for.
const RESOURCE_TYPES: [&str; 6] = [
    "OS::Glance::Image",
    "OS::Cinder::Volume",
    "OS::Nova::Server",
    "OS::Nova::Aggregate",
    "OS::Nova::Flavor",
    "OS::Trove::Instance",
];

pub(super) fn operations() -> Vec<Operation<Images>> {
    const ALL: &str = "/metadefs/namespaces";
    const ONE: &str = "/metadefs/namespaces/{namespace}";
    vec![
        get("/metadefs/resource_types", policy::LIST_METADEF_RESOURCE_TYPES, resource_types),
        get(ALL, policy::GET_METADEF_NAMESPACES, index).query(QUERY, u16::MAX),
        post(ALL, policy::ADD_METADEF_NAMESPACE, create).status(201),
        get(ONE, policy::GET_METADEF_NAMESPACE, show),
        put(ONE, policy::MODIFY_METADEF_NAMESPACE, update),
        delete(ONE, policy::DELETE_METADEF_NAMESPACE, remove).status(204),
    ]
}

/// 404 in the words of what changes one.
fn missing(name: &str) -> String {
    format!("Namespace {name} not found")
}

fn view(namespace: &Namespace) -> Value {
    let mut shown = json!({
        "namespace": namespace.namespace,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "owner": namespace.owner,
        "created_at": Seconds(namespace.created_at),
        "updated_at": Seconds(namespace.updated_at),
        "self": format!("/v2/metadefs/namespaces/{}", namespace.namespace),
        "schema": "/v2/schemas/metadefs/namespace",
    });
    for (name, value) in [("display_name", &namespace.display_name), ("description", &namespace.description)] {
        if let Some(value) = value {
            shown[name] = json!(value);
        }
    }
    shown
}

/// With its parts.
fn whole(namespace: &Namespace, parts: &[Part]) -> Value {
    let mut shown = view(namespace);
    let of = |kind: &str| parts.iter().filter(|part| part.kind == kind).collect::<Vec<_>>();
    let list = |parts: Vec<&Part>, view: fn(&Part) -> Value| parts.into_iter().map(view).collect::<Vec<_>>();
    let types = list(of(ResourceTypes::KIND), ResourceTypes::view);
    let objects = list(of(Objects::KIND), Objects::view);
    let tags: Vec<Value> = of(Tags::KIND).iter().map(|part| json!({"name": part.name})).collect();
    let properties: Map<String, Value> =
        of(Properties::KIND).iter().map(|part| (part.name.clone(), Value::Object(part.body.clone()))).collect();
    for (name, some, value) in [
        ("resource_type_associations", !types.is_empty(), json!(types)),
        ("objects", !objects.is_empty(), json!(objects)),
        ("properties", !properties.is_empty(), json!(properties)),
        ("tags", !tags.is_empty(), json!(tags)),
    ] {
        if some {
            shown[name] = value;
        }
    }
    shown
}

async fn index(request: Request) -> Result<Json<Value>, ApiError> {
    let query = &request.query;
    let limit = limit(query)?.unwrap_or(25).min(i64::from(request.config.max_limit));
    let mut list = List::<Namespace>::all();
    if !request.context.is_admin {
        let own = Condition::equal("owner", request.context.project_id.as_deref().unwrap_or_default());
        list = list.visible(Condition::any([Condition::equal("visibility", "public"), own]));
    }
    match query.get("visibility") {
        None => {}
        Some(wanted @ ("public" | "private")) => list = list.filter(Condition::equal("visibility", wanted)),
        Some(other) => return Err(ApiError::bad_request(format!("Invalid visibility value: {other}"))),
    }
    if let Some(types) = query.get("resource_types") {
        let mut sql = sql!("namespace IN (SELECT namespace FROM metadef_parts WHERE kind = 'resource_type' AND name");
        sql.is_in(types.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()).push(")");
        list = list.filter(Condition::raw(sql));
    }
    let direction = match query.get("sort_dir").unwrap_or("desc") {
        "asc" => Direction::Ascending,
        "desc" => Direction::Descending,
        other => return Err(ApiError::bad_request(format!("Invalid sort direction: {other}"))),
    };
    let key = match query.get("sort_key").unwrap_or("created_at") {
        "created_at" => SortKey::time("created_at"),
        "updated_at" => SortKey::time("updated_at"),
        "namespace" => SortKey::text("namespace"),
        other => return Err(ApiError::bad_request(format!("Sort key supplied was not valid: {other}."))),
    };
    let marker = query.get("marker");
    let list = list.sort(key, direction).sort(SortKey::text("namespace"), direction).marker_text(marker).limit(limit);
    let mut connection = request.state.database.read().await?;
    let found = list.page(&mut connection).await?;
    let found = found.ok_or_else(|| ApiError::not_found(not_found(marker.unwrap_or_default())))?;
    let names: Vec<String> = found.iter().map(|namespace| namespace.namespace.clone()).collect();
    let types: Vec<Part> = List::all()
        .filter(Condition::equal("kind", ResourceTypes::KIND))
        .filter(Condition::is_in("namespace", names))
        .page(&mut connection)
        .await?
        .unwrap_or_default();
    let shown = |namespace: &Namespace| {
        let own: Vec<Part> = types.iter().filter(|part| part.namespace == namespace.namespace).cloned().collect();
        whole(namespace, &own)
    };
    let page = |after: Option<&str>| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(query.iter().filter(|(name, _)| *name != "marker"));
        text.extend_pairs(after.map(|name| ("marker", name)));
        match text.finish().as_str() {
            "" => "/v2/metadefs/namespaces".to_owned(),
            query => format!("/v2/metadefs/namespaces?{query}"),
        }
    };
    let full = i64::try_from(found.len()).is_ok_and(|len| len == limit && len > 0);
    let mut body = json!({
        "namespaces": found.iter().map(shown).collect::<Vec<_>>(),
        "first": page(None),
        "schema": "/v2/schemas/metadefs/namespaces",
    });
    if let Some(last) = found.last().filter(|_| full) {
        body["next"] = page(Some(&last.namespace)).into();
    }
    Ok(Json(body))
}

fn not_found(name: &str) -> String {
    format!("Metadata definition namespace={name} was not found.")
}

async fn show(request: Request, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    let namespace = find(&request, &mut connection, &name, false, || not_found(&name)).await?;
    let parts = parts_of(&mut connection, &name, None).await?;
    Ok(Json(whole(&namespace, &parts)))
}

/// What a body says of a namespace itself.
fn read(request: &Request, body: &Value, created_at: Timestamp) -> Namespace {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    Namespace {
        namespace: text("namespace").unwrap_or_default(),
        display_name: text("display_name"),
        description: text("description"),
        visibility: text("visibility").unwrap_or_else(|| "private".into()),
        protected: body.get("protected").and_then(Value::as_bool).unwrap_or_default(),
        owner: text("owner").or_else(|| request.context.project_id.clone()),
        created_at,
        updated_at: Timestamp::now(),
    }
}

async fn create(mut request: Request) -> Result<Response, ApiError> {
    let body = body(&mut request).await?;
    validate("metadefs/namespace", &body)?;
    let namespace = read(&request, &body, Timestamp::now());
    let mut transaction = request.state.database.begin().await?;
    table::insert(&mut transaction, &namespace).await.map_err(|error| {
        if error.is_unique_violation() {
            let name = &namespace.namespace;
            return ApiError::Conflict(format!("The metadata definition namespace={name} already exists."));
        }
        error.into()
    })?;
    let parts = parts_in(&namespace, &body)?;
    add(&mut transaction, &parts).await?;
    transaction.commit().await?;
    let location = request.links.to(&format!("metadefs/namespaces/{}", namespace.namespace));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(whole(&namespace, &parts))).into_response())
}

/// The parts that a body gives a new namespace.
fn parts_in(namespace: &Namespace, body: &Value) -> Result<Vec<Part>, ApiError> {
    let mut parts = Vec::new();
    let items = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten();
    for (kind, name) in
        [(ResourceTypes::KIND, "resource_type_associations"), (Objects::KIND, "objects"), (Tags::KIND, "tags")]
    {
        for item in items(name) {
            parts.push(described(&namespace.namespace, kind, item)?);
        }
    }
    for (name, property) in body.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let mut property = property.clone();
        property["name"] = json!(name);
        parts.push(described(&namespace.namespace, Properties::KIND, &property)?);
    }
    Ok(parts)
}

async fn add(transaction: &mut Connection, parts: &[Part]) -> Result<(), ApiError> {
    for part in parts {
        table::insert(transaction, part).await.map_err(|error| {
            if error.is_unique_violation() {
                let Part { kind, name, namespace, .. } = part;
                return ApiError::Conflict(format!(
                    "A metadata definition {kind} with name={name} already exists in namespace={namespace}."
                ));
            }
            error.into()
        })?;
    }
    Ok(())
}

async fn update(mut request: Request, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let body = body(&mut request).await?;
    validate("metadefs/namespace", &body)?;
    let mut transaction = request.state.database.begin().await?;
    let before = find(&request, &mut transaction, &name, true, || missing(&name)).await?;
    let namespace = read(&request, &body, before.created_at);
    table::update(&mut transaction, &name, &namespace).await.map_err(|error| {
        if error.is_unique_violation() {
            return ApiError::Conflict(format!(
                "Invalid update. It would result in a duplicate metadata definition namespace with the same name of {}",
                namespace.namespace
            ));
        }
        error.into()
    })?;
    transaction.commit().await?;
    Ok(Json(view(&namespace)))
}

async fn remove(request: Request, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let namespace = find(&request, &mut transaction, &name, true, || missing(&name)).await?;
    if namespace.protected {
        return Err(ApiError::Forbidden(format!(
            "Metadata definition namespace {name} is protected and cannot be deleted."
        )));
    }
    sql!("DELETE FROM metadef_namespaces WHERE namespace = "(name)).execute(&mut transaction).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Those that are known, and those that a namespace is for.
async fn resource_types(request: Request) -> Result<Json<Value>, ApiError> {
    let used: Vec<String> = sql!("SELECT DISTINCT name FROM metadef_parts WHERE kind = 'resource_type'")
        .fetch_all(&mut *request.state.database.read().await?)
        .await?;
    let others: BTreeSet<&str> =
        used.iter().map(String::as_str).filter(|name| !RESOURCE_TYPES.contains(name)).collect();
    let types: Vec<Value> = RESOURCE_TYPES.into_iter().chain(others).map(|name| json!({"name": name})).collect();
    Ok(Json(json!({"resource_types": types})))
}
