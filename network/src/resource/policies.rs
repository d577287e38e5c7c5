//! Who may do what to which attribute, and whom things are shared with.

use novella_rest::policy::{Rule, SERVICE, Target};

use crate::{Request, errors};
use novella_rest::ApiError;

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
