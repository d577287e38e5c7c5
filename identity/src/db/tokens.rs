//! Tokens: kept with what they are for, and read with what that comes to now.

use jiff::Timestamp;
use novella_common::{
    db::{Connection, DbError, Json},
    sql,
};
use novella_rest::{AccessRule, ApplicationCredential, Named, Token, Trust};

use super::roles::{self, AssignmentTarget};

/// What a token is for, by ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Nothing yet.
    Unscoped,
    /// A project.
    Project(String),
    /// A domain.
    Domain(String),
    /// The system.
    System,
}

/// A token as it is written down.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) user_id: String,
    pub(crate) scope: Scope,
    pub(crate) trust_id: Option<String>,
    pub(crate) application_credential_id: Option<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) audit_ids: Vec<String>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Writes a token down.
pub(crate) async fn insert(connection: &mut Connection, hash: &str, token: &Written) -> Result<(), DbError> {
    let (scope, project) = match &token.scope {
        Scope::Unscoped => ("unscoped", None),
        Scope::Project(id) => ("project", Some(id)),
        Scope::Domain(id) => ("domain", Some(id)),
        Scope::System => ("system", None),
    };
    sql!(
        "INSERT INTO tokens (token_hash, user_id, scope, project_id, trust_id, application_credential_id, methods, \
         audit_ids, issued_at, expires_at) VALUES (" (hash) ", " (token.user_id) ", " (scope) ", " (project) ", "
        (token.trust_id) ", " (token.application_credential_id) ", " (Json(&token.methods)) ", "
        (Json(&token.audit_ids)) ", " (token.issued_at) ", " (token.expires_at) ")"
    )
    .execute(connection)
    .await?;
    Ok(())
}

type TokenColumns =
    (String, Option<String>, Option<String>, Json<Vec<String>>, Json<Vec<String>>, Timestamp, Timestamp);
type UserColumns = (String, String, String, String, Option<Timestamp>);
type ProjectColumns = (Option<String>, Option<String>, Option<bool>, Option<String>, Option<String>, Option<bool>);

/// A token that is valid at `now`: not expired, with a user, a project and domains that are enabled, and with a role in
/// what it is for. Nothing of that is kept with the token: what is taken away is gone for tokens that were given out
/// before.
pub(crate) async fn valid(connection: &mut Connection, hash: &str, now: Timestamp) -> Result<Option<Token>, DbError> {
    let found: Option<(TokenColumns, UserColumns, ProjectColumns)> = sql!(
        "SELECT t.scope, t.trust_id, t.application_credential_id, t.methods, t.audit_ids, t.issued_at, t.expires_at, \
         u.id, u.name, ud.id, ud.name, u.password_expires_at, \
         p.id, p.name, p.is_domain, pd.id, pd.name, p.enabled AND COALESCE(pd.enabled, TRUE) \
         FROM tokens t JOIN users u ON u.id = t.user_id JOIN projects ud ON ud.id = u.domain_id \
         LEFT JOIN projects p ON p.id = t.project_id LEFT JOIN projects pd ON pd.id = p.domain_id \
         WHERE t.token_hash = " (hash) " AND t.expires_at > " (now) " AND u.enabled AND ud.enabled"
    )
    .fetch_optional(connection)
    .await?;
    let Some((token, user, project)) = found else { return Ok(None) };
    let (scope, trust_id, credential_id, Json(methods), Json(audit_ids), issued_at, expires_at) = token;
    let (user_id, user_name, domain_id, domain_name, password_expires_at) = user;
    let (project_id, project_name, is_domain, project_domain_id, project_domain_name, enabled) = project;
    let named = |id: Option<String>, name: Option<String>| Some(Named { id: id?, name: name? });
    let mut token = Token {
        user: Named { id: user_id, name: user_name },
        user_domain: Named { id: domain_id, name: domain_name },
        password_expires_at,
        project: None,
        project_domain: None,
        is_domain: false,
        domain: None,
        system: false,
        roles: Vec::new(),
        methods,
        audit_ids,
        application_credential: None,
        trust: None,
        issued_at,
        expires_at,
    };
    let mut holder = token.user.id.clone();
    let mut limited_to = None;
    if let Some(id) = trust_id {
        let Some((trust, roles)) = trust(connection, &id, now).await? else { return Ok(None) };
        holder.clone_from(&trust.trustor);
        limited_to = Some(roles);
        token.trust = Some(trust);
    }
    if let Some(id) = credential_id {
        let Some((credential, roles)) = application_credential(connection, &id, now).await? else { return Ok(None) };
        limited_to = Some(roles);
        token.application_credential = Some(credential);
    }
    let target = match (scope.as_str(), &project_id) {
        ("unscoped", _) => return Ok(Some(token)),
        ("system", _) => AssignmentTarget::System,
        (_, Some(id)) if enabled == Some(true) => AssignmentTarget::Project(id),
        _ => return Ok(None),
    };
    token.roles = held(connection, &holder, target, limited_to.as_deref()).await?;
    if token.roles.is_empty() {
        return Ok(None);
    }
    match scope.as_str() {
        "system" => token.system = true,
        "domain" => token.domain = named(project_id, project_name),
        _ => {
            token.is_domain = is_domain == Some(true);
            token.project = named(project_id, project_name);
            // A domain that is used as a project is in itself.
            token.project_domain = named(project_domain_id, project_domain_name).or_else(|| token.project.clone());
        }
    }
    Ok(Some(token))
}

/// The roles of a user, or those of them that a credential or a trust gives further.
pub(crate) async fn held(
    connection: &mut Connection,
    user_id: &str,
    target: AssignmentTarget<'_>,
    limited_to: Option<&[String]>,
) -> Result<Vec<Named>, DbError> {
    let held = roles::effective(connection, user_id, target).await?;
    let Some(given) = limited_to else { return Ok(held) };
    let given: Vec<String> = held.into_iter().map(|role| role.id).filter(|id| given.contains(id)).collect();
    roles::with_implied(connection, &given).await
}

/// A trust that holds at `now`, with the ids of its roles.
pub(crate) async fn trust(
    connection: &mut Connection,
    id: &str,
    now: Timestamp,
) -> Result<Option<(Trust, Vec<String>)>, DbError> {
    let found: Option<(bool, String, String, Json<Vec<String>>)> = sql!(
        "SELECT t.impersonation, t.trustor_user_id, t.trustee_user_id, t.roles FROM trusts t \
         JOIN users giver ON giver.id = t.trustor_user_id JOIN users taker ON taker.id = t.trustee_user_id \
         WHERE t.id = " (id) " AND giver.enabled AND taker.enabled AND (t.expires_at IS NULL OR t.expires_at > " (now) ")"
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(impersonation, trustor, trustee, Json(roles))| {
        (Trust { id: id.to_owned(), impersonation, trustor, trustee }, roles)
    }))
}

/// An application credential that holds at `now`, with the ids of its roles.
pub(crate) async fn application_credential(
    connection: &mut Connection,
    id: &str,
    now: Timestamp,
) -> Result<Option<(ApplicationCredential, Vec<String>)>, DbError> {
    let found: Option<(String, bool, Json<Vec<String>>)> = sql!(
        "SELECT name, unrestricted, roles FROM application_credentials WHERE id = " (id)
        " AND (expires_at IS NULL OR expires_at > " (now) ")"
    )
    .fetch_optional(connection)
    .await?;
    let Some((name, unrestricted, Json(roles))) = found else { return Ok(None) };
    let rules = access_rules(connection, id).await?;
    let access_rules = (!rules.is_empty()).then_some(rules);
    let credential = ApplicationCredential { id: id.to_owned(), name, restricted: !unrestricted, access_rules };
    Ok(Some((credential, roles)))
}

/// What an application credential may be used for; nothing: for anything.
pub(crate) async fn access_rules(connection: &mut Connection, id: &str) -> Result<Vec<AccessRule>, DbError> {
    let found: Vec<(String, String, String, String)> = sql!(
        "SELECT r.id, r.service, r.method, r.path FROM access_rules r JOIN application_credential_access_rules a \
         ON a.access_rule_id = r.id WHERE a.application_credential_id = " (id) " ORDER BY r.id"
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|(id, service, method, path)| AccessRule { id, service, method, path }).collect())
}

/// Whether a token is there. If so, nobody ends it until the transaction ends.
pub(crate) async fn hold(connection: &mut Connection, hash: &str) -> Result<bool, DbError> {
    let mut sql = sql!("SELECT user_id FROM tokens WHERE token_hash = "(hash));
    // SQLite has one writer.
    let found: Option<String> = sql.push_for("", " FOR SHARE").fetch_optional(connection).await?;
    Ok(found.is_some())
}

/// Ends a token. Says whether there was one.
pub(crate) async fn delete(connection: &mut Connection, hash: &str) -> Result<bool, DbError> {
    sql!("DELETE FROM tokens WHERE token_hash = "(hash)).execute_one(connection).await
}

/// Ends the tokens that were made from the one with this audit id, which was given to this user or to whom a trust of his
/// speaks for.
pub(crate) async fn delete_made_from(connection: &mut Connection, user: &str, audit_id: &str) -> Result<u64, DbError> {
    sql!(
        "DELETE FROM tokens WHERE (user_id = " (user) " OR trust_id IN (SELECT id FROM trusts WHERE trustee_user_id = "
        (user) ")) AND audit_ids ->> 1 = " (audit_id)
    )
    .execute(connection)
    .await
}

/// Removes the tokens that have expired by `now`. Says how many.
pub(crate) async fn delete_expired(connection: &mut Connection, now: Timestamp) -> Result<u64, DbError> {
    sql!("DELETE FROM tokens WHERE expires_at <= "(now)).execute(connection).await
}
