//! Bodies: one object or several under their key, each held against the attributes of its resource.
//!
//! Source: neutron_lib/api/attributes.py and neutron/api/v2/base.py (29.0.0), asked over the API.

use std::{collections::BTreeSet, marker::PhantomData};

use novella_common::db::Kind;
use novella_rest::{ApiError, Body, FieldTable, Microversion, openapi};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema,
    openapi::{ObjectBuilder, RefOr, schema::Schema},
};

use super::{Resource, attributes, is_admin, is_service};
use crate::{
    Request,
    attributes::{Attribute, Otherwise},
};

/// Attributes that every resource can have, which nobody gives.
const READ_ONLY: [&str; 4] = ["id", "revision_number", "created_at", "updated_at"];

/// The body of a request about an `R`: as it came.
#[derive(Debug)]
pub(crate) struct New<R> {
    body: Value,
    resource: PhantomData<fn() -> R>,
}

impl<R: Resource> Body for New<R> {
    const KEY: Option<&'static str> = Some(R::ABOUT.one);
    const FIELDS: FieldTable = FieldTable(&[]);

    fn from_fields(object: &Map<String, Value>) -> Result<Self, ApiError> {
        Ok(Self { body: Value::Object(object.clone()), resource: PhantomData })
    }

    fn from_json(body: &Value, _: Microversion) -> Result<Self, ApiError> {
        Ok(Self { body: body.clone(), resource: PhantomData })
    }

    fn schema() -> RefOr<Schema> {
        let mut object = ObjectBuilder::new();
        for field in R::FIELDS.iter().filter(|field| field.attribute.post || field.attribute.put) {
            let schema = match field.kind {
                Kind::Int => i64::schema(),
                Kind::Bool => bool::schema(),
                Kind::Json => ObjectBuilder::new().into(),
                Kind::Text | Kind::Uuid | Kind::Time => String::schema(),
            };
            object = object.property(field.attribute.name, schema);
        }
        openapi::object_under(Self::KEY, object)
    }
}

/// What a request says of one object.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The attributes in their one form; of a new object also those that were not given.
    pub(crate) values: Map<String, Value>,
    /// Those that were given.
    pub(crate) named: BTreeSet<&'static str>,
    /// Whose a new object is.
    pub(crate) project: String,
}

impl Given {
    /// The value of an attribute, if it was given, or is there by default.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// The same, as a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The same, as true or false.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// Whether the request says something of an attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.named.contains(name)
    }
}

impl<R: Resource> New<R> {
    /// The objects of a `POST`, and whether they came as a list.
    ///
    /// # Errors
    /// 400 in Neutron's words.
    pub(crate) fn several(&self, request: &Request) -> Result<(Vec<Given>, bool), ApiError> {
        let about = R::ABOUT;
        let body = self.body.as_object().ok_or_else(unreadable)?;
        let Some(several) = body.get(about.many) else {
            let object = body_of(&self.body, about.one)?;
            return Ok((vec![read::<R>(request, object, true)?], false));
        };
        let several = several.as_array().ok_or_else(unreadable)?;
        if several.is_empty() {
            return Err(ApiError::bad_request("Resources required"));
        }
        let each = several.iter().map(|item| {
            let item = item.get(about.one).unwrap_or(item);
            read::<R>(request, item.as_object().ok_or_else(|| invalid_data(about.one))?, true)
        });
        Ok((each.collect::<Result<_, _>>()?, true))
    }

    /// What a `PUT` says.
    ///
    /// # Errors
    /// 400 in Neutron's words.
    pub(crate) fn change(&self, request: &Request) -> Result<Given, ApiError> {
        self.body.as_object().ok_or_else(unreadable)?;
        read::<R>(request, body_of(&self.body, R::ABOUT.one)?, false)
    }
}

fn unreadable() -> ApiError {
    ApiError::bad_request("Body contains invalid data")
}

fn invalid_data(one: &str) -> ApiError {
    ApiError::bad_request(format!("Object '{one}' contains invalid data"))
}

/// The object under the key of a body.
///
/// # Errors
/// 400 if there is none.
pub(crate) fn body_of<'b>(body: &'b Value, one: &str) -> Result<&'b Map<String, Value>, ApiError> {
    match body.get(one) {
        None | Some(Value::Null) => Err(ApiError::bad_request(format!("Unable to find '{one}' in request body"))),
        Some(object) => object.as_object().ok_or_else(|| invalid_data(one)),
    }
}

/// Holds one object against the attributes.
fn read<R: Resource>(request: &Request, object: &Map<String, Value>, new: bool) -> Result<Given, ApiError> {
    let project = project_of(request, object)?;
    let unknown: Vec<&str> = object.keys().map(String::as_str).filter(|name| !is_known::<R>(name)).collect();
    if !unknown.is_empty() {
        return Err(ApiError::bad_request(format!("Unrecognized attribute(s) '{}'", unknown.join(", "))));
    }
    let read_only = |name: &str| {
        ApiError::bad_request(match new {
            true => format!("Attribute '{name}' not allowed in POST"),
            false => format!("Cannot update read-only attribute {name}"),
        })
    };
    if let Some(name) = READ_ONLY.iter().find(|name| object.contains_key(**name)) {
        return Err(read_only(name));
    }
    if !new && let Some(name) = ["project_id", "tenant_id"].iter().find(|name| object.contains_key(**name)) {
        return Err(read_only(name));
    }
    for attribute in attributes::<R>() {
        let given = object.contains_key(attribute.name);
        if given && !(if new { attribute.post } else { attribute.put }) {
            return Err(read_only(attribute.name));
        }
        if new && attribute.post && !given && matches!(attribute.otherwise, Otherwise::Required) {
            let name = attribute.name;
            return Err(ApiError::bad_request(format!(
                "Failed to parse request. Required attribute '{name}' not specified"
            )));
        }
    }
    if object.contains_key("tags") && !attributes::<R>().any(|attribute| attribute.name == "tags") {
        return Err(read_only("tags"));
    }
    let (mut values, mut named) = (Map::new(), BTreeSet::new());
    for attribute in attributes::<R>() {
        match object.get(attribute.name) {
            Some(value) => {
                let value = (attribute.check)(value).map_err(|refusal| refusal.of(attribute.name))?;
                values.insert(attribute.name.to_owned(), value);
                named.insert(attribute.name);
            }
            None if new => {
                values.insert(attribute.name.to_owned(), attribute.otherwise.value());
            }
            None => {}
        }
    }
    Ok(Given { values, named, project })
}

fn is_known<R: Resource>(name: &str) -> bool {
    let about = R::ABOUT;
    let stamp = matches!(name, "revision_number" | "created_at" | "updated_at");
    matches!(name, "id" | "project_id" | "tenant_id")
        || (about.stamped && stamp)
        || (about.tags.is_some() && name == "tags")
        || attributes::<R>().any(|attribute: &Attribute| attribute.name == name)
}

/// Whose a new object is.
fn project_of(request: &Request, object: &Map<String, Value>) -> Result<String, ApiError> {
    let own = request.context.project_id.as_deref();
    let given = ["project_id", "tenant_id"].into_iter().find_map(|name| object.get(name));
    let Some(given) = given.filter(|given| !given.is_null()) else {
        return match own {
            Some(own) => Ok(own.to_owned()),
            None => Err(ApiError::bad_request("Running without keystone AuthN requires that project_id is specified")),
        };
    };
    let given = given.as_str().unwrap_or_default();
    if Some(given) != own && !is_admin(request) && !is_service(request) {
        return Err(ApiError::bad_request(
            "Specifying 'project_id' other than the authenticated project in request is not allowed for the current user.",
        ));
    }
    Ok(given.to_owned())
}
