//! The OpenAPI document, made from the rows of the operations when somebody asks for it: a process that starts has no use
//! for it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi,
        OpenApiBuilder, Paths, RefOr, Required, ResponseBuilder,
        extensions::ExtensionsBuilder,
        path::{Operation as OperationObject, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{OneOf, Schema, Type},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    FieldRule, Operation, Service,
    error::{Envelope, keystone_envelope},
    microversion::Versions,
};

/// What is documented of an operation.
#[derive(Clone)]
pub struct Described {
    pub(crate) summary: &'static str,
    pub(crate) status: u16,
    query: Vec<(&'static str, Versions)>,
    body: Option<WriteSchema>,
    answer: Option<Answered>,
    /// Errors that have another form than the service's.
    errors: Vec<(u16, WriteSchema)>,
}

/// Writes the form of a value.
pub type WriteSchema = fn() -> RefOr<Schema>;

/// The form of an answer.
#[derive(Clone)]
struct Answered {
    /// Empty: it stands under no key.
    key: &'static str,
    /// Whether there are several.
    list: bool,
    schema: WriteSchema,
}

impl Answered {
    fn write(&self) -> RefOr<Schema> {
        let one = (self.schema)();
        let schema = if self.list { ArrayBuilder::new().items(one).into() } else { one };
        match self.key {
            "" => schema,
            key => value_under(key, schema),
        }
    }
}

/// An operation, as the document shows it.
pub(crate) struct Documented {
    service: &'static Service,
    method: Method,
    path: &'static str,
    action: Option<&'static str>,
    versions: Versions,
    public: bool,
    described: Described,
}

impl Documented {
    pub(crate) fn of<S>(service: &'static Service, row: &Operation<S>) -> Self {
        let Operation { path, action, versions, public, .. } = *row;
        Self { service, method: row.method.clone(), path, action, versions, public, described: row.described.clone() }
    }
}

impl Described {
    pub(crate) fn new(summary: &'static str) -> Self {
        Self { summary, status: 200, query: Vec::new(), body: None, answer: None, errors: Vec::new() }
    }

    /// It takes this body.
    pub fn body(&mut self, schema: WriteSchema) {
        self.body = Some(schema);
    }

    pub(crate) fn error(&mut self, status: u16, schema: WriteSchema) {
        self.errors.push((status, schema));
    }

    pub(crate) fn query(&mut self, parameters: &[FieldRule]) {
        self.query.extend(parameters.iter().map(|rule| (rule.name, rule.versions)));
    }

    pub(crate) fn answer<T: ToSchema>(&mut self, key: &'static str, list: bool) {
        self.answer = Some(Answered { key, list, schema: T::schema });
    }
}

impl Documented {
    fn object(&self) -> OperationObject {
        let Self { service, path, action, versions, public, ref described, .. } = *self;
        let operation = OperationBuilder::new().summary(Some(described.summary)).tag(service.kind);
        let mut operation = operation.securities(Some(token()));
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            operation = operation.parameter(parameter(name, ParameterIn::Path));
        }
        for (name, versions) in &described.query {
            let parameter = parameter(name, ParameterIn::Query);
            operation = operation.parameter(match *versions {
                Versions::ALL => parameter,
                versions => parameter.description(Some(range(versions))),
            });
        }
        if let Some(body) = described.body.map(|write| write()).or_else(|| action.map(any_under)) {
            let content = ContentBuilder::new().schema(Some(body)).build();
            let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
            operation = operation.request_body(Some(body.build()));
        }
        let mut response = ResponseBuilder::new().description("What was asked for.");
        if let Some(answer) = &described.answer {
            response = response.content("application/json", ContentBuilder::new().schema(Some(answer.write())).build());
        }
        operation = operation.response(described.status.to_string(), response);
        let failed = |said: &str, schema: RefOr<Schema>| {
            let content = ContentBuilder::new().schema(Some(schema)).build();
            ResponseBuilder::new().description(said).content("application/json", content)
        };
        if !public {
            let schema = error_schema(keystone_envelope);
            operation = operation.response("401", failed("There is no token, or none that is valid.", schema));
        }
        for (status, schema) in &described.errors {
            operation = operation.response(status.to_string(), failed("Why it was not done.", schema()));
        }
        operation = operation.response("default", failed("Why it was not done.", error_schema(service.envelope)));
        if versions != Versions::ALL {
            operation = operation.extensions(Some(ExtensionsBuilder::new().add("x-openstack", json!(null)).build()));
        }
        operation.build()
    }
}

/// What errors in this form look like. Where the form names the error by its key, any key may stand there.
fn error_schema(envelope: Envelope) -> RefOr<Schema> {
    let [one, other] = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND].map(|status| envelope(status, ""));
    let key = |error: &Value| error.as_object().and_then(|error| error.keys().next().cloned());
    match one.as_object().and_then(|error| error.values().next()) {
        Some(inner) if key(&one) != key(&other) => {
            ObjectBuilder::new().additional_properties(Some(schema_of(inner))).into()
        }
        _ => schema_of(&one),
    }
}

/// The form of a value, all of which is always there.
#[must_use]
pub fn schema_of(value: &Value) -> RefOr<Schema> {
    match value {
        Value::Object(entries) => {
            let object = entries.iter().fold(ObjectBuilder::new(), |object, (key, value)| {
                object.property(key, schema_of(value)).required(key)
            });
            object.into()
        }
        Value::Number(_) => ObjectBuilder::new().schema_type(Type::Integer).into(),
        _ => ObjectBuilder::new().schema_type(Type::String).into(),
    }
}

fn parameter(name: &str, place: ParameterIn) -> ParameterBuilder {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(String::schema()))
}

fn range(versions: Versions) -> String {
    match versions.until {
        None => format!("Since microversion {}.", versions.since),
        Some(until) => format!("Microversions {} to {until}.", versions.since),
    }
}

/// The body of an action without arguments: whatever stands behind its name is ignored.
fn any_under(action: &str) -> RefOr<Schema> {
    ObjectBuilder::new().property(action, ObjectBuilder::new().schema_type(Type::Null)).required(action).into()
}

/// A body's fields under its key, if it has one. For [`body!`](crate::body).
#[must_use]
pub fn object_under(key: Option<&'static str>, fields: ObjectBuilder) -> RefOr<Schema> {
    match key {
        Some(key) => ObjectBuilder::new().property(key, fields).required(key).into(),
        None => fields.into(),
    }
}

/// A value under its key. For [`value_body!`](crate::value_body).
#[must_use]
pub fn value_under(key: &'static str, value: RefOr<Schema>) -> RefOr<Schema> {
    ObjectBuilder::new().property(key, value).required(key).into()
}

/// What nearly every operation asks for.
fn token() -> [SecurityRequirement; 1] {
    [SecurityRequirement::new::<_, _, &str>(TOKEN, [])]
}

/// The name of the one way to say who asks.
const TOKEN: &str = "token";

/// The whole document, of these operations in their order.
pub(crate) fn document(operations: &[Documented]) -> OpenApi {
    let mut document = empty();
    for operation in operations {
        add(&mut document, operation);
    }
    document
}

/// A document without operations.
fn empty() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Novella")
        .description(Some("A compute cloud that speaks OpenStack's APIs."))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let header = ApiKeyValue::with_description("X-Auth-Token", "A token, from `POST /identity/v3/auth/tokens`.");
    let components = ComponentsBuilder::new().security_scheme(TOKEN, SecurityScheme::ApiKey(ApiKey::Header(header)));
    OpenApiBuilder::new().info(info).components(Some(components.build())).security(Some(token())).build()
}

/// Adds an operation. Of several actions on one path the document has one operation whose body is one of
/// theirs, since OpenAPI knows operations by method and path alone.
fn add(document: &mut OpenApi, operation: &Documented) {
    let Documented { service, versions, .. } = *operation;
    let path = format!("{}{}{}", service.root, service.version_path, operation.path);
    let method = match operation.method.as_str() {
        "GET" => HttpMethod::Get,
        "HEAD" => HttpMethod::Head,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Post,
    };
    let mut object = operation.object();
    if versions != Versions::ALL
        && let Some(family) = service.microversions
    {
        let at = |minor: u16| format!("{}.{minor}", family.min.major);
        let since = at(versions.since.max(family.min.minor));
        let range = json!({"min-ver": since, "max-ver": versions.until.map(at)});
        object.extensions = Some(ExtensionsBuilder::new().add("x-openstack", range).build());
    }
    if operation.public {
        object.security = Some(Vec::new());
    }
    match existing(&mut document.paths, &path, &method) {
        Some(present) => one_of_both(present, object),
        None => document.paths.add_path_operation(path, vec![method], object),
    }
}

fn existing<'d>(paths: &'d mut Paths, path: &str, method: &HttpMethod) -> Option<&'d mut OperationObject> {
    let item = paths.paths.get_mut(path)?;
    match method {
        HttpMethod::Get => item.get.as_mut(),
        HttpMethod::Put => item.put.as_mut(),
        HttpMethod::Patch => item.patch.as_mut(),
        HttpMethod::Delete => item.delete.as_mut(),
        HttpMethod::Head => item.head.as_mut(),
        _ => item.post.as_mut(),
    }
}

/// The body of `present` may also be that of `other`.
fn one_of_both(present: &mut OperationObject, mut other: OperationObject) {
    let Some(second) = body_schema(&mut other).cloned() else { return };
    let Some(schema) = body_schema(present) else { return };
    let mut choices = OneOf::new();
    match schema.clone() {
        RefOr::T(Schema::OneOf(before)) => choices = before,
        single => choices.items.push(single),
    }
    choices.items.push(second);
    *schema = RefOr::T(Schema::OneOf(choices));
    if let (Some(one), Some(other)) = (&present.summary, &other.summary) {
        present.summary = Some(format!("{one} {other}"));
    }
}

fn body_schema(operation: &mut OperationObject) -> Option<&mut RefOr<Schema>> {
    // Bodies stand where they are used; nothing here refers to another place.
    let RefOr::T(body) = operation.request_body.as_mut()? else { return None };
    let RefOr::T(content) = body.content.get_mut("application/json")? else { return None };
    content.schema.as_mut()
}
