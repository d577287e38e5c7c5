//! `/users/{user_id}/application_credentials`: what a user gives to a program to log in with, for one project.

use std::collections::HashSet;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use novella_common::{
    config::Secret,
    db::{
        Connection,
        list::{Condition, Direction, List, SortKey},
        table::insert,
    },
    sql, table,
};
use novella_rest::{
    AccessRule, ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body,
    policy::{Denied, Target},
    post,
    times::{self, Micros},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::access_rules::AccessRuleRow;
use crate::{
    Request,
    auth::delegation::is_delegated,
    db::{self, Role, roles, tokens},
    inputs::{NOT_UNDERSTOOD, Name, SecretText},
    policy,
    resource::{self, Resource, delete_row, listing, look_up, name_taken, no_marker, not_found, page_of, read_page},
    secrets,
};

/// An application credential.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApplicationCredential {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) project_id: String,
    pub(crate) name: String,
    description: Option<String>,
    pub(crate) secret_hash: String,
    /// Ids.
    roles: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
    unrestricted: bool,
}

table! {
    ApplicationCredential in "application_credentials", key text "id";
    id,
    user_id,
    project_id,
    name,
    description,
    secret_hash,
    roles as Json,
    expires_at,
    unrestricted,
}

static APPLICATION_CREDENTIALS: ListDescription = ListDescription {
    filters: &[list::text("name", "name")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/users/{user_id}/application_credentials";
    const ONE: &str = "/users/{user_id}/application_credentials/{application_credential_id}";
    vec![
        get(ALL, policy::LIST_APPLICATION_CREDENTIALS, index).list(&APPLICATION_CREDENTIALS, u16::MAX),
        post(ALL, policy::CREATE_APPLICATION_CREDENTIAL, create).status(201),
        get(ONE, policy::GET_APPLICATION_CREDENTIAL, show),
        delete(ONE, policy::DELETE_APPLICATION_CREDENTIAL, remove).status(204),
    ]
}

/// A role by its id or by its name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct RoleReference {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

/// A rule that is there, by its id, or a new one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct NewAccessRule {
    id: Option<String>,
    service: Option<String>,
    method: Option<String>,
    path: Option<String>,
}

open_body! {
    /// `POST /users/{user_id}/application_credentials`.
    struct NewApplicationCredential in "application_credential" {
        name: Name = "name",
        description: Option<String> = "description",
        secret: Option<SecretText> = "secret",
        expires_at: Option<String> = "expires_at",
        roles: Option<Vec<RoleReference>> = "roles",
        unrestricted: Option<bool> = "unrestricted",
        access_rules: Option<Vec<NewAccessRule>> = "access_rules",
    }
}

impl Resource for ApplicationCredential {
    const ONE: &'static str = "application_credential";
    const MANY: &'static str = "application_credentials";
    const CALLED: &'static str = "Application Credential";
    const LIST: &'static ListDescription = &APPLICATION_CREDENTIALS;

    fn id(&self) -> &str {
        &self.id
    }

    /// Without its roles and access rules, which are other rows.
    fn taken(&self) -> ApiError {
        name_taken("application_credential", &self.name, None)
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        Map::from_iter([
            ("id".to_owned(), self.id.clone().into()),
            ("name".to_owned(), self.name.clone().into()),
            ("description".to_owned(), self.description.clone().into()),
            ("user_id".to_owned(), self.user_id.clone().into()),
            ("project_id".to_owned(), self.project_id.clone().into()),
            ("system".to_owned(), Value::Null),
            ("expires_at".to_owned(), self.expires_at.map(|time| Micros(time).to_string()).into()),
            ("unrestricted".to_owned(), self.unrestricted.into()),
        ])
    }

    fn target(&self) -> Target<'_> {
        Target::of_user(&self.user_id)
    }
}

/// What clients see of one.
async fn view(
    connection: &mut Connection,
    credential: &ApplicationCredential,
    links: &Links,
) -> Result<Value, ApiError> {
    let mut view = resource::view(credential, links);
    let list = List::<Role>::all().filter(Condition::is_in("id", &credential.roles));
    let held = list.page(connection).await?.unwrap_or_default();
    view["roles"] = held.iter().map(|role| Value::Object(role.fields(links))).collect::<Vec<_>>().into();
    let rules = tokens::access_rules(connection, &credential.id).await?;
    if !rules.is_empty() {
        view["access_rules"] = rules.iter().map(rule_view).collect::<Vec<_>>().into();
    }
    Ok(view)
}

/// What clients see of an access rule, but for the links.
pub(super) fn rule_view(rule: &AccessRule) -> Value {
    json!({"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method})
}

/// Refuses tokens that somebody was lent by a trust or an access key; and, of those of application credentials, the restricted ones where
/// something is to be changed.
pub(super) fn check_delegation(request: &Request, changes: bool) -> Result<(), ApiError> {
    let Some(token) = &request.token else { return Ok(()) };
    if is_delegated(token) && token.application_credential.is_none() {
        return Err(ApiError::Forbidden(
            "Cannot manage application credentials with a token issued via delegation.".into(),
        ));
    }
    if changes && token.application_credential.as_ref().is_some_and(|credential| credential.restricted) {
        return Err(ApiError::Forbidden(
            "You are not authorized to perform the requested action: Using method 'application_credential' is not \
             allowed for managing additional application credentials.."
                .into(),
        ));
    }
    Ok(())
}

async fn index(request: Request, Path(user): Path<String>) -> Result<Response, ApiError> {
    request.check_target(&Target::of_user(&user))?;
    check_delegation(&request, false)?;
    let listing = listing::<ApplicationCredential>(&request)?.visible(Condition::equal("user_id", &user));
    let mut connection = request.state.database.read().await?;
    let rows = read_page(listing, &mut connection).await?;
    let mut views = std::collections::HashMap::new();
    for row in &rows.items {
        views.insert(row.id.clone(), view(&mut connection, row, &request.links).await?);
    }
    let path = format!("users/{user}/application_credentials");
    let shown = |row: &ApplicationCredential| views.get(&row.id).cloned().unwrap_or_default();
    Ok(page_of(&request, &rows, ApplicationCredential::MANY, &path, |row| row.id(), shown))
}

/// When something is to end that a client says a time of.
///
/// # Errors
/// 400 for what is no time, or no longer to come.
pub(super) fn expiry(text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let time = times::parse(text)
        .filter(|_| text.contains('T'))
        .ok_or_else(|| ApiError::bad_request(format!("Timestamp not in expected format. {NOT_UNDERSTOOD}")))?;
    if time <= Timestamp::now() {
        return Err(ApiError::bad_request(format!("The 'expires_at' must not be before now. {NOT_UNDERSTOOD}")));
    }
    Ok(Some(time))
}

async fn create(
    request: Request,
    Path(user): Path<String>,
    new: NewApplicationCredential,
) -> Result<Response, ApiError> {
    // For oneself only: an administrator may delete others', not make them.
    if request.user() != user {
        return Err(Denied(request.rule).into());
    }
    request.check_target(&Target::of_user(&user))?;
    check_delegation(&request, true)?;
    let project = request.project()?.to_owned();
    let expires_at = expiry(new.expires_at.as_deref())?;
    let access_rules = new.access_rules.unwrap_or_default();
    check_size(&access_rules)?;
    let secret = match new.secret {
        Some(SecretText(secret)) => secret,
        None => Secret::new(secrets::long()?),
    };
    let secret_hash = request.state.passwords.hash(secret.clone()).await?;
    let mut transaction = request.state.database.begin().await?;
    let credential = ApplicationCredential {
        id: db::new_id(),
        roles: roles_of(&request, &mut transaction, new.roles.unwrap_or_default()).await?,
        user_id: user,
        project_id: project,
        name: new.name.0,
        description: new.description,
        secret_hash,
        expires_at,
        unrestricted: new.unrestricted.unwrap_or(false),
    };
    resource::insert(&mut transaction, &credential).await?;
    for rule in access_rules {
        let rule = access_rule(&mut transaction, &credential.user_id, rule).await?;
        sql!(
            "INSERT INTO application_credential_access_rules (application_credential_id, access_rule_id) VALUES ("
            (credential.id) ", " (rule) ") ON CONFLICT DO NOTHING"
        )
        .execute(&mut transaction)
        .await?;
    }
    let mut shown = view(&mut transaction, &credential, &request.links).await?;
    transaction.commit().await?;
    shown["secret"] = secret.expose().into();
    Ok((StatusCode::CREATED, Json(json!({"application_credential": shown}))).into_response())
}

/// The ids of the roles that are asked for, with those that they imply; of none, all that the token has.
async fn roles_of(
    request: &Request,
    connection: &mut Connection,
    asked: Vec<RoleReference>,
) -> Result<Vec<String>, ApiError> {
    let own: HashSet<String> =
        request.token.iter().flat_map(|token| token.roles.iter().map(|role| role.id.clone())).collect();
    if asked.is_empty() {
        let mut own: Vec<String> = own.into_iter().collect();
        own.sort_unstable();
        return Ok(own);
    }
    let mut ids = Vec::new();
    for role in asked {
        ids.push(role_id(connection, role).await?);
    }
    let unassigned = "Invalid application credential: Cannot create an application credential with unassigned role";
    if ids.iter().any(|id| !own.contains(id)) {
        return Err(ApiError::bad_request(unassigned));
    }
    let all = roles::with_implied(connection, &ids).await?;
    Ok(all.into_iter().map(|role| role.id).collect())
}

/// The id of a role that a request names.
pub(super) async fn role_id(connection: &mut Connection, role: RoleReference) -> Result<String, ApiError> {
    match (role.id, role.name) {
        (Some(id), _) => Ok(id),
        (None, Some(name)) => roles::by_name(connection, &name).await?.ok_or_else(|| not_found("role", &name)),
        (None, None) => Err(ApiError::bad_request(format!("Expecting to find id or name in role. {NOT_UNDERSTOOD}"))),
    }
}

/// The most access rules of an application credential: all are held against each request.
const MAX_ACCESS_RULES: usize = 100;

/// The longest service and path of an access rule, in characters (keystone/application_credential/schema.py).
const LONGEST_SERVICE: usize = 64;
const LONGEST_PATH: usize = 225;

/// Refuses too many access rules, and one with a text that is too long. That is not repeated in the answer.
fn check_size(rules: &[NewAccessRule]) -> Result<(), ApiError> {
    let count = rules.len();
    if count > MAX_ACCESS_RULES {
        return Err(ApiError::bad_request(format!(
            "Invalid input for field/attribute access_rules. There are {count}; {MAX_ACCESS_RULES} are allowed at most."
        )));
    }
    for rule in rules {
        for (field, text, longest) in [("service", &rule.service, LONGEST_SERVICE), ("path", &rule.path, LONGEST_PATH)]
        {
            let length = text.as_ref().map_or(0, |text| text.chars().count());
            if length > longest {
                return Err(ApiError::bad_request(format!(
                    "Invalid input for field/attribute {field}. It has {length} characters; {longest} are allowed at \
                     most."
                )));
            }
        }
    }
    Ok(())
}

/// The id of an access rule: one that the user has, or a new one.
async fn access_rule(connection: &mut Connection, user: &str, rule: NewAccessRule) -> Result<String, ApiError> {
    if let Some(id) = rule.id {
        let found: Option<AccessRuleRow> = look_up(connection, &id).await?;
        let found = found.filter(|found| found.user_id == user);
        return found.map(|found| found.id).ok_or_else(|| not_found("Access Rule", &id));
    }
    let (Some(service), Some(method), Some(path)) = (rule.service, rule.method, rule.path) else {
        return Err(ApiError::bad_request(
            "Invalid input for field/attribute access_rules. Each has a service, a method and a path.",
        ));
    };
    const METHODS: [&str; 6] = ["POST", "GET", "HEAD", "PATCH", "PUT", "DELETE"];
    if !METHODS.contains(&method.as_str()) {
        return Err(ApiError::bad_request(format!(
            "Invalid input for field/attribute method. Value: {method}. '{method}' is not one of {METHODS:?}"
        )));
    }
    let known: Option<String> = sql!(
        "SELECT id FROM access_rules WHERE user_id = " (user) " AND service = " (service) " AND method = " (method)
        " AND path = " (path)
    )
    .fetch_optional(connection)
    .await?;
    if let Some(id) = known {
        return Ok(id);
    }
    let row = AccessRuleRow { id: db::new_id(), user_id: user.to_owned(), service, method, path };
    insert(connection, &row).await?;
    Ok(row.id)
}

async fn show(request: Request, Path((user, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let credential = existing(&request, &mut connection, &user, &id).await?;
    check_delegation(&request, false)?;
    let view = view(&mut connection, &credential, &request.links).await?;
    Ok(Json(json!({"application_credential": view})).into_response())
}

/// The user's credential of this id. Whose it is counts, and not whom the path names.
async fn existing(
    request: &Request,
    connection: &mut Connection,
    user: &str,
    id: &str,
) -> Result<ApplicationCredential, ApiError> {
    let found: Option<ApplicationCredential> = look_up(connection, id).await?;
    let owner = found.as_ref().map_or(user, |found| found.user_id.as_str());
    request.check_target(&Target::of_user(owner))?;
    found.ok_or_else(|| not_found(ApplicationCredential::CALLED, id))
}

async fn remove(request: Request, Path((user, id)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let credential = existing(&request, &mut transaction, &user, &id).await?;
    check_delegation(&request, true)?;
    delete_row::<ApplicationCredential>(&mut transaction, &credential.id).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(service: &str, path: &str) -> NewAccessRule {
        let text = |text: &str| Some(text.to_owned());
        NewAccessRule { id: None, service: text(service), method: text("GET"), path: text(path) }
    }

    #[test]
    fn access_rules_are_neither_more_nor_longer_than_each_request_bears() {
        let longest = format!("/{}", "ä".repeat(LONGEST_PATH - 1));
        check_size(&vec![rule(&"a".repeat(LONGEST_SERVICE), &longest); MAX_ACCESS_RULES]).unwrap();
        for (rules, expected) in [
            (vec![rule("compute", &format!("{longest}a"))], "path. It has 226 characters; 225 are allowed"),
            (vec![rule(&"a".repeat(65), "/v2.1")], "service. It has 65 characters; 64 are allowed"),
            (vec![rule("compute", "/v2.1"); 101], "access_rules. There are 101; 100 are allowed"),
        ] {
            let refused = check_size(&rules).unwrap_err();
            assert!(refused.status() == StatusCode::BAD_REQUEST && refused.to_string().contains(expected), "{refused}");
        }
    }
}
