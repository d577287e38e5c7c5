//! Who wants a token: by a password, by a token, or by an application credential.

use std::sync::Arc;

use jiff::Timestamp;
use novella_common::{
    config::Secret,
    db::{
        Connection, DbError,
        list::{Condition, List},
    },
};
use novella_rest::{ApiError, Token};
use serde_json::Value;
use tracing::Instrument as _;

use super::delegation;
use super::request::{ApplicationCredentialMethod, Identity, NamedUser, PasswordMethod, TokenMethod, reference};
use crate::{
    Request,
    db::{self, Reference, User, tokens},
    inputs::expecting,
    passwords::HashingPermit,
    resource::look_up,
    resources::ApplicationCredential,
    state,
};

/// Somebody who is who he says.
pub(super) struct Identified {
    /// Him, as he was before it was found out.
    pub(super) user: User,
    /// How that was found out.
    pub(super) methods: Vec<String>,
    /// The token that was shown, with its hash, if it was by one.
    pub(super) parent: Option<(String, Arc<Token>)>,
    /// The application credential that it was by, and the project that it is for.
    pub(super) application_credential_id: Option<String>,
    /// See above.
    pub(super) application_credential_project: Option<String>,
    /// When what it was by ends.
    pub(super) until: Option<Timestamp>,
}

impl Identified {
    /// Whether the password is still the one that was looked at, and the token that was shown is still there. If so, who
    /// changes the one or ends the other waits for this transaction, and so finds the token that is written in it.
    pub(super) async fn still_holds(&self, transaction: &mut Connection) -> Result<bool, DbError> {
        let by_password = self.methods.iter().any(|method| method == "password");
        if by_password || self.parent.is_some() {
            let Some(now) = db::held_user(transaction, &self.user.id).await? else { return Ok(false) };
            // Not the hash, which log-ins write anew when its cost is another.
            let password = |user: &User| (user.password_created_at, user.password_hash.is_some());
            if by_password && password(&now) != password(&self.user) {
                return Ok(false);
            }
        }
        match &self.parent {
            Some((hash, _)) => tokens::hold(transaction, hash).await,
            None => Ok(true),
        }
    }
}

/// Finds out who wants a token.
pub(super) async fn identify(request: &Request, identity: Identity) -> Result<Identified, ApiError> {
    let component = &request.state;
    let Identity { methods, password, token, application_credential } = identity;
    let mut found: Option<Identified> = None;
    let (mut password, mut token, mut credential) = (password, token, application_credential);
    for method in &methods {
        let missing = || expecting(method, "identity");
        let one = match method.as_str() {
            "password" => by_password(request, password.take().ok_or_else(missing)?).await?,
            "token" => by_token(component, token.take().ok_or_else(missing)?).await?,
            "application_credential" => {
                by_application_credential(request, credential.take().ok_or_else(missing)?).await?
            }
            _ => return Err(missing()),
        };
        found = Some(match found {
            None => one,
            // Several methods must agree.
            Some(before) if before.user.id == one.user.id => Identified {
                methods: joined(before.methods, one.methods),
                parent: before.parent.or(one.parent),
                application_credential_id: before.application_credential_id.or(one.application_credential_id),
                application_credential_project: before
                    .application_credential_project
                    .or(one.application_credential_project),
                until: before.until.into_iter().chain(one.until).min(),
                user: before.user,
            },
            Some(_) => return Err(ApiError::Unauthorized),
        });
    }
    let found = found.ok_or(ApiError::Unauthorized)?;
    if !enough_methods(&found.user, &found.methods) {
        return Err(ApiError::Unauthorized);
    }
    Ok(found)
}

fn joined(mut methods: Vec<String>, others: Vec<String>) -> Vec<String> {
    for other in others {
        if !methods.contains(&other) {
            methods.push(other);
        }
    }
    methods
}

/// Whether a user whose options ask for several methods has used all of one of the combinations.
fn enough_methods(user: &User, methods: &[String]) -> bool {
    let Some(Value::Array(rules)) = user.options.get("multi_factor_auth_rules") else { return true };
    if !user.has_option("multi_factor_auth_enabled") || rules.is_empty() {
        return true;
    }
    let used = |method: &Value| methods.iter().any(|used| method.as_str() == Some(used));
    // What lets nobody in is no rule.
    let rules = rules.iter().filter_map(Value::as_array).filter(|rule| !rule.is_empty());
    rules.clone().next().is_none() || rules.clone().any(|rule| rule.iter().all(used))
}

async fn named(component: &state::Identity, user: &NamedUser) -> Result<Option<(User, Option<String>)>, ApiError> {
    let mut connection = component.database.read().await?;
    match reference(&mut connection, "user", user.id.as_ref(), user.name.as_ref(), user.domain.as_ref()).await? {
        Some(which) => Ok(db::user(&mut connection, &which).await?),
        None => Ok(None),
    }
}

async fn by_password(request: &Request, method: PasswordMethod) -> Result<Identified, ApiError> {
    let component = &request.state;
    let NamedUser { id, name, .. } = &method.user.user;
    let named_so = id.clone().or_else(|| name.clone()).unwrap_or_default();
    let found = named(component, &method.user.user).await?;
    let permit = component.passwords.permit(request.client, found.as_ref().map_or(&named_so, |(user, _)| &user.id));
    let permit = request.elsewhere(permit).await?;
    let password = method.user.password;
    let hash = found.as_ref().and_then(|(_, hash)| hash.clone());
    let check = check_password(component.clone(), permit, password.clone(), found);
    // To its end, whatever becomes of the client: who hangs up has guessed as well.
    let checked = tokio::spawn(check.in_current_span()).await;
    let user = checked.map_err(|error| {
        tracing::error!(%error, "a log-in broke");
        ApiError::Broken
    })??;
    let expired = user.password_expires_at.is_some_and(|time| time <= Timestamp::now());
    if expired && !user.has_option("ignore_password_expiry") {
        return Err(ApiError::Refused(format!(
            "The password is expired and needs to be changed for user: {}.",
            user.id
        )));
    }
    if let Some(old) = hash
        && let Some(new) = component.passwords.renewed(password, &old).await?
    {
        db::rehash(&mut *component.database.write().await?, &user.id, &old, &new).await?;
    }
    Ok(Identified {
        user,
        methods: vec!["password".to_owned()],
        parent: None,
        application_credential_id: None,
        application_credential_project: None,
        until: None,
    })
}

/// The user, if it has this password and may log in.
async fn check_password(
    component: state::Identity,
    permit: HashingPermit,
    password: Secret,
    found: Option<(User, Option<String>)>,
) -> Result<User, ApiError> {
    let (database, compliance) = (&component.database, &component.compliance);
    let locked = match &found {
        Some((user, _)) => compliance.is_locked(database, &user.id).await?,
        None => false,
    };
    let (user, hash) = found.unzip();
    // Always compared, whatever was found: the answer takes as long for a user who is not there, or is locked.
    let fits = component.passwords.fits(permit, password, hash.flatten().filter(|_| !locked)).await?;
    let user = user.filter(|_| !locked).ok_or(ApiError::Unauthorized)?;
    let holds = compliance.record(database, &user.id, fits).await?;
    if holds && user.enabled { Ok(user) } else { Err(ApiError::Unauthorized) }
}

async fn by_token(component: &state::Identity, method: TokenMethod) -> Result<Identified, ApiError> {
    let hash = db::token_hash(method.id.expose());
    let token = component.cache.validated(&component.database, &hash).await?;
    let token = token.ok_or_else(|| ApiError::not_found("Failed to validate token"))?;
    if token.trust.is_some() {
        return Err(ApiError::Forbidden(
            "You are not authorized to perform the requested action: Using trust-scoped token to create another \
             token. Create a new trust-scoped token instead."
                .into(),
        ));
    }
    if delegation::is_delegated(&token) {
        return Err(ApiError::Forbidden(
            "You are not authorized to perform the requested action: Using a delegated token to create another token is \
             not allowed.."
                .into(),
        ));
    }
    let which = Reference::Id(token.user.id.clone());
    let user = db::user(&mut *component.database.read().await?, &which).await?;
    let (user, _) = user.filter(|(user, _)| user.enabled).ok_or(ApiError::Unauthorized)?;
    Ok(Identified {
        user,
        methods: joined(vec!["token".to_owned()], token.methods.clone()),
        application_credential_project: None,
        application_credential_id: None,
        // Never renewed: else a token that leaked would be good for ever.
        until: Some(token.expires_at),
        parent: Some((hash, token)),
    })
}

async fn by_application_credential(
    request: &Request,
    method: ApplicationCredentialMethod,
) -> Result<Identified, ApiError> {
    let component = &request.state;
    let found: Option<ApplicationCredential> = match (&method.id, &method.name, &method.user) {
        (Some(id), _, _) => look_up(&mut *component.database.read().await?, id).await?,
        (None, Some(name), Some(user)) => match named(component, user).await? {
            Some((user, _)) => {
                let list =
                    List::all().filter(Condition::equal("user_id", &user.id)).filter(Condition::equal("name", name));
                list.page(&mut *component.database.read().await?).await?.unwrap_or_default().pop()
            }
            None => None,
        },
        (None, Some(_), None) => return Err(expecting("user", "application_credential")),
        (None, None, _) => return Err(expecting("id or name", "application_credential")),
    };
    let hash = found.as_ref().map(|found| found.secret_hash.clone());
    let named_so = method.id.as_ref().or(method.name.as_ref()).map_or("", String::as_str);
    let permit = component.passwords.permit(request.client, named_so);
    let permit = request.elsewhere(permit).await?;
    let fits = component.passwords.fits(permit, method.secret, hash).await?;
    let now = Timestamp::now();
    let holds = |found: &ApplicationCredential| fits && found.expires_at.is_none_or(|until| until > now);
    let credential = found.filter(holds).ok_or(ApiError::Unauthorized)?;
    let which = Reference::Id(credential.user_id);
    let user = db::user(&mut *component.database.read().await?, &which).await?;
    let (user, _) = user.filter(|(user, _)| user.enabled).ok_or(ApiError::Unauthorized)?;
    Ok(Identified {
        user,
        methods: vec!["application_credential".to_owned()],
        parent: None,
        application_credential_id: Some(credential.id),
        application_credential_project: Some(credential.project_id),
        until: credential.expires_at,
    })
}
