//! Who may do what to which attribute, and whom things are shared with.

use novella_common::{db::Sql, sql};
use novella_rest::policy::{Rule, SERVICE, Target};

use crate::{Request, errors};
use novella_rest::ApiError;

/// How a resource is shared: what policies of sharing call it, and which actions let others see it.
#[derive(Debug)]
pub(crate) struct SharedAs {
    pub(crate) object_type: &'static str,
    pub(crate) actions: &'static [&'static str],
}

/// Whether whoever asks may do everything.
pub(crate) fn is_admin(request: &Request) -> bool {
    request.context.is_admin
}

/// Whether a service asks.
pub(crate) fn is_service(request: &Request) -> bool {
    request.context.roles.iter().any(|held| held == SERVICE)
}

/// Whether a rule is granted for this thing.
pub(crate) fn granted(request: &Request, rule: Rule, target: &Target<'_>) -> bool {
    request.grants(rule, target)
}

/// Holds all of these rules against the thing, as one that is their conjunction.
///
/// # Errors
/// 403 that names them all, as Neutron does.
pub(crate) fn check_rules(request: &Request, rules: &[Rule], target: &Target<'_>) -> Result<(), ApiError> {
    if rules.iter().all(|rule| granted(request, *rule, target)) {
        return Ok(());
    }
    let mut names = rules.iter().map(|rule| format!("rule:{}", rule.name));
    let first = names.next().unwrap_or_default();
    Err(errors::disallowed(&names.fold(first, |all, next| format!("({all} and {next})"))))
}

/// The ids of what is shared with this project, by a policy for it or for all.
pub(crate) fn shared_with(shared: &SharedAs, project: &str) -> Sql {
    let mut sql = sql!("SELECT object_id FROM network_rbac WHERE object_type = "(shared.object_type));
    sql.push(" AND target_project").is_in(["*", project]);
    sql.push(" AND action").is_in(shared.actions.iter().copied());
    sql
}
