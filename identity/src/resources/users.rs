//! `/users`: who can log in.

use axum::{http::StatusCode, response::Response};
use jiff::{SignedDuration, Timestamp};
use novella_common::{
    config::Secret,
    db::{
        Connection, Sql,
        list::{Condition, Direction, SortKey},
    },
};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED, own},
    open_body, patch,
    policy::Target,
    post,
    times::{self, MicrosUtc},
    wrapped, wrong_open,
};
use serde_json::{Map, Value, json};

use super::{domains, projects};
use crate::{
    Request,
    db::{self, User},
    inputs::{Flag, NOT_UNDERSTOOD, Name, Object, OptionNames, SecretText},
    policy,
    resource::{self, Resource, listing, locked, name_taken, no_marker, page, with_extra},
    state::Identity,
};

/// A description for lists of users, also those of a group.
pub(super) static USERS: ListDescription = ListDescription {
    filters: &[
        list::text("domain_id", "domain_id"),
        list::text("name", "name"),
        own("enabled"),
        own("password_expires_at"),
        list::absent("idp_id"),
        list::absent("protocol_id"),
        list::absent("unique_id"),
    ],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

const OPTIONS: OptionNames = OptionNames(&[
    ("ignore_change_password_upon_first_use", Value::is_boolean),
    ("ignore_password_expiry", Value::is_boolean),
    ("ignore_lockout_failure_attempts", Value::is_boolean),
    ("ignore_user_inactivity", Value::is_boolean),
    ("lock_password", Value::is_boolean),
    ("multi_factor_auth_enabled", Value::is_boolean),
    ("multi_factor_auth_rules", is_rules),
]);

fn is_rules(value: &Value) -> bool {
    let texts = |rule: &Value| rule.as_array().is_some_and(|methods| methods.iter().all(Value::is_string));
    value.as_array().is_some_and(|rules| rules.iter().all(texts))
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Identity>> {
    const ONE: &str = "/users/{user_id}";
    vec![
        get("/users", policy::LIST_USERS, index).list(&USERS, u16::MAX),
        post("/users", policy::CREATE_USER, create).status(201),
        get(ONE, policy::GET_USER, resource::show::<User>),
        patch(ONE, policy::UPDATE_USER, update),
        delete(ONE, policy::DELETE_USER, resource::remove::<User>).status(204),
        post("/users/{user_id}/password", policy::CHANGE_PASSWORD, change_password).public().status(204),
    ]
}

open_body! {
    /// `POST /users`.
    struct NewUser in "user" {
        name: Name = "name",
        domain_id: Option<String> = "domain_id",
        enabled: Option<Flag> = "enabled",
        password: Option<SecretText> = "password",
        default_project_id: Option<String> = "default_project_id",
        options: Option<Object> = "options",
    }
}

open_body! {
    /// `PATCH /users/{user_id}`.
    struct UserChange in "user" {
        id: Option<String> = "id",
        name: Option<Name> = "name",
        domain_id: Option<String> = "domain_id",
        enabled: Option<Flag> = "enabled",
        password: Nullable<SecretText> = "password",
        default_project_id: Nullable<String> = "default_project_id",
        options: Option<Object> = "options",
    }
}

open_body! {
    /// `POST /users/{user_id}/password`.
    struct PasswordChange in "user" {
        original_password: SecretText = "original_password",
        password: SecretText = "password",
    }
}

impl Resource for User {
    const ONE: &'static str = "user";
    const MANY: &'static str = "users";
    const LIST: &'static ListDescription = &USERS;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let mut fields = json!({
            "id": self.id, "name": self.name, "domain_id": self.domain_id, "enabled": self.enabled,
            "password_expires_at": self.password_expires_at.map(|time| MicrosUtc(time).to_string()),
            "options": self.options,
        });
        if let Some(project) = &self.default_project_id {
            fields["default_project_id"] = project.clone().into();
        }
        with_extra(fields, &self.extra)
    }

    fn taken(&self) -> ApiError {
        name_taken("user", &self.name, Some(&self.domain_id))
    }

    fn target(&self) -> Target<'_> {
        Target { user: Some(&self.id), domain: Some(&self.domain_id), ..Target::default() }
    }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    resource::check_list(&request)?;
    let listing = listing::<User>(&request)?
        .filter_by(password_expiry(&request)?)
        .filter_by(projects::own_domain(&request, "domain_id"));
    page(&request, listing, "users").await
}

/// The filter `password_expires_at=lt:TIME`.
pub(super) fn password_expiry(request: &Request) -> Result<Option<Condition>, ApiError> {
    let Some(text) = request.query.get("password_expires_at") else { return Ok(None) };
    let wrong = || ApiError::bad_request(format!("Timestamp not in expected format. {NOT_UNDERSTOOD}"));
    let (operator, time) = text.split_once(':').unwrap_or(("eq", text));
    let operator = match operator {
        "lt" => " < ",
        "lte" => " <= ",
        "gt" => " > ",
        "gte" => " >= ",
        "eq" => " = ",
        "neq" => " <> ",
        _ => return Err(wrong()),
    };
    let time = times::parse(time).ok_or_else(wrong)?;
    let mut sql = Sql::new("password_expires_at");
    sql.push(operator).bind(&time);
    Ok(Some(Condition::raw(sql)))
}

async fn create(request: Request, new: NewUser) -> Result<Response, ApiError> {
    request.check_target(&Target::of_domain(new.domain_id.as_deref()))?;
    let mut user = User::new(&new.name.0, "");
    user.enabled = new.enabled.is_none_or(|flag| flag.0);
    user.default_project_id = new.default_project_id;
    user.extra = new.extra;
    OPTIONS.merge(&mut user.options, new.options)?;
    // Hashed before the transaction: it takes a while, and nobody else is to wait for it.
    if let Some(password) = new.password {
        set_password(&request.state, &mut user, password).await?;
    }
    let mut transaction = request.state.database.begin().await?;
    user.domain_id = domains::of_new(&request, &mut transaction, new.domain_id).await?;
    resource::store(&request, transaction, &user).await?;
    Ok(resource::created(&request, &user))
}

/// Gives a user that is not written yet a password.
async fn set_password(identity: &Identity, user: &mut User, SecretText(password): SecretText) -> Result<(), ApiError> {
    user.password_hash = Some(identity.passwords.hash(password).await?);
    user.password_created_at = Some(Timestamp::now());
    user.password_expires_at = expiry(identity, user);
    Ok(())
}

/// From when on a password that is set now is no longer taken.
fn expiry(identity: &Identity, user: &User) -> Option<Timestamp> {
    let days = identity.config.password_expires_days.filter(|_| !user.has_option("ignore_password_expiry"))?;
    Timestamp::now().checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()
}

async fn update(mut request: Request, Path(id): Path<String>, change: UserChange) -> Result<Response, ApiError> {
    let given = wrapped(request.json().await?, "user")?;
    if given.is_empty() {
        return Err(wrong_open("user", &json!({}), "{} should be non-empty"));
    }
    // Before the hash is made, which takes a while; and again when nobody can change it any more.
    resource::authorized::<User>(&request, &mut *request.state.database.read().await?, &id).await?;
    let new_hash = match change.password.clone() {
        Nullable::Value(SecretText(password)) => Some(request.state.passwords.hash(password).await?),
        Nullable::Missing | Nullable::Null => None,
    };
    let mut transaction = request.state.database.begin().await?;
    let mut user = locked::<User>(&request, &mut transaction, &id).await?;
    if change.id.is_some_and(|id| id != user.id) {
        return Err(ApiError::bad_request("Cannot change ID"));
    }
    if change.domain_id.is_some_and(|domain| domain != user.domain_id) {
        return Err(ApiError::bad_request("Cannot change Domain ID"));
    }
    if let Some(Name(name)) = change.name {
        user.name = name;
    }
    if let Some(Flag(enabled)) = change.enabled {
        user.enabled = enabled;
    }
    if let Some(project) = change.default_project_id.change() {
        user.default_project_id = project;
    }
    OPTIONS.merge(&mut user.options, change.options)?;
    user.extra.extend(change.extra);
    if let Some(hash) = &new_hash {
        let expires = expiry(&request.state, &user);
        db::set_password(&mut transaction, &user.id, hash, expires).await?;
        user.password_hash = Some(hash.clone());
        user.password_created_at = Some(Timestamp::now());
        user.password_expires_at = expires;
    } else if change.password == Nullable::Null {
        user.password_hash = None;
        user.password_expires_at = None;
    }
    resource::change(&request, transaction, &user).await?;
    Ok(resource::shown_with_extra(&request, &user, &user.extra))
}

/// Changes one's own password. Asks for no token, since whoever's password has expired gets none.
async fn change_password(
    request: Request,
    Path(id): Path<String>,
    change: PasswordChange,
) -> Result<StatusCode, ApiError> {
    let identity = &request.state;
    let user: Option<User> = resource::look_up(&mut *identity.database.read().await?, &id).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let permit = request.elsewhere(identity.passwords.permit(request.client, &id)).await?;
    let fits = identity.passwords.fits(permit, change.original_password.0, hash).await?;
    let user = user.filter(|user| fits && user.enabled).ok_or(ApiError::Unauthorized)?;
    if user.has_option("lock_password") {
        return Err(ApiError::bad_request(
            "You cannot change your password at this time due to password policy disallowing password changes. Please \
             contact your administrator to reset your password.",
        ));
    }
    check_history(identity, &user, &change.password.0).await?;
    let new_hash = identity.passwords.hash(change.password.0).await?;
    let mut transaction = identity.database.begin().await?;
    // What was checked is still so, or somebody else has changed the password meanwhile.
    let now: Option<User> = novella_common::db::table::lock(&mut transaction, &id).await?;
    now.filter(|now| now.enabled && now.password_hash == user.password_hash).ok_or(ApiError::Unauthorized)?;
    db::set_password(&mut transaction, &id, &new_hash, expiry(identity, &user)).await?;
    identity.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a password that the user has or had, as far as the configuration says.
async fn check_history(identity: &Identity, user: &User, password: &Secret) -> Result<(), ApiError> {
    let count = identity.config.unique_last_password_count;
    if count == 0 {
        return Ok(());
    }
    let last = db::last_passwords(&mut *identity.database.read().await?, user, i64::from(count)).await?;
    for hash in last {
        if identity.passwords.is_that_of(password.clone(), hash).await? {
            return Err(ApiError::bad_request(format!(
                "The new password cannot be identical to a previous password. The total number which includes the new \
                 password must be unique is {count}."
            )));
        }
    }
    Ok(())
}

/// A user that is named in a path or a body.
///
/// # Errors
/// 404.
pub(super) async fn existing(connection: &mut Connection, id: &str) -> Result<User, ApiError> {
    resource::find::<User>(connection, id).await
}
