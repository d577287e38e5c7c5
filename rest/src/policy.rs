//! Who may do what: the mechanism. The rules are each component's own, described with [`rules!`](crate::rules).
//!
//! A rule names a role. It is granted to whoever holds the role in the project that the thing belongs to, and to
//! administrators. Roles imply each other, `admin` ⊃ `manager` ⊃ `member` ⊃ `reader`; the implied ones are put into
//! the token when it is issued ([`with_implied_roles`]), so that a check is one look-up.
//!
//! Source: nova/policies/ (34.0.0), with the scopes and the new defaults enforced, as Nova does since 27.

use novella_common::RequestContext;

/// The role that may do everything.
pub const ADMIN: &str = "admin";
/// The role that runs a project: migrations of its servers.
pub const MANAGER: &str = "manager";
/// The role that uses a project.
pub const MEMBER: &str = "member";
/// The role that looks.
pub const READER: &str = "reader";

/// Every role, each implying those after it.
pub const ROLES: [&str; 4] = [ADMIN, MANAGER, MEMBER, READER];

/// The roles with all that they imply. Roles that are not among [`ROLES`] imply nothing and are kept.
#[must_use]
pub fn with_implied_roles<I, S>(roles: I) -> Vec<String>
where
    I: IntoIterator<Item = S>,
    S: Into<String>,
{
    let mut all: Vec<String> = Vec::new();
    let mut add = |role: String| {
        if !all.contains(&role) {
            all.push(role);
        }
    };
    for role in roles {
        let role = role.into();
        let implied = ROLES.iter().position(|known| *known == role).map_or(ROLES.len(), |index| index + 1);
        add(role);
        ROLES[implied..].iter().for_each(|role| add((*role).to_owned()));
    }
    all
}

/// Who a rule is granted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever has a token.
    Anyone,
    /// Whoever has this role in the project that the thing belongs to, and administrators.
    Role(&'static str),
    /// Users for what is their own, and administrators for everybody's. The row of an operation lets every token pass;
    /// the handler checks whose the thing is by [`Rule::check_user`].
    Owner,
    /// Administrators.
    Admin,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// OpenStack's name of it.
    pub name: &'static str,
    /// Who it is granted to.
    pub who: Who,
    /// What it permits, in a sentence.
    pub permits: &'static str,
}

/// A rule that is not granted. The text is Nova's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Policy doesn't allow {rule} to be performed.")]
pub struct Denied {
    /// The rule's name.
    pub rule: &'static str,
}

impl Rule {
    /// Whether it is granted for something of `project`; `None`: for something that belongs to no project.
    #[must_use]
    pub fn allows(&self, context: &RequestContext, project: Option<&str>) -> bool {
        if context.is_admin {
            return true;
        }
        match self.who {
            Who::Anyone | Who::Owner => true,
            Who::Admin => false,
            Who::Role(role) => {
                context.roles.iter().any(|held| held == role)
                    && project.is_some()
                    && context.project_id.as_deref() == project
            }
        }
    }

    /// As [`Rule::allows`], for `?`.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check(&self, context: &RequestContext, project: Option<&str>) -> Result<(), Denied> {
        if self.allows(context, project) { Ok(()) } else { Err(Denied { rule: self.name }) }
    }

    /// As [`Rule::check`], for something of the caller's own project: a list, a new server.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_own(&self, context: &RequestContext) -> Result<(), Denied> {
        self.check(context, context.project_id.as_deref())
    }

    /// As [`Rule::check`], for something of `user`.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_user(&self, context: &RequestContext, user: &str) -> Result<(), Denied> {
        if context.is_admin || context.user_id.as_deref() == Some(user) {
            return Ok(());
        }
        Err(Denied { rule: self.name })
    }
}

/// Describes the rules of a component: a constant for each, and `ALL`.
///
/// A row is `CONSTANT = "the rule's name", who it is granted to, "What it permits.";`. The last text is also what the
/// documentation says of an operation with this rule.
#[macro_export]
macro_rules! rules {
    ($($constant:ident = $name:literal, $who:expr, $permits:literal;)*) => {
        $(
            #[doc = $permits]
            #[allow(unreachable_pub, reason = "who else sees a component's rules is its own matter")]
            pub const $constant: $crate::policy::Rule =
                $crate::policy::Rule { name: $name, who: $who, permits: $permits };
        )*

        /// Every rule.
        #[allow(unreachable_pub, dead_code, reason = "for tests, and for who else sees a component's rules")]
        pub const ALL: &[$crate::policy::Rule] = &[$($constant),*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    rules! {
        SERVERS_INDEX = "os_compute_api:servers:index", Who::Role(READER), "List servers.";
        SERVERS_SHOW = "os_compute_api:servers:show", Who::Role(READER), "Show a server.";
        SERVERS_CREATE = "os_compute_api:servers:create", Who::Role(MEMBER), "Make a server.";
        SERVICES_LIST = "os_compute_api:os-services:list", Who::Admin, "List services.";
        AVAILABILITY_ZONE_LIST = "os_compute_api:os-availability-zone:list", Who::Anyone, "List availability zones.";
    }

    fn context(project: &str, role: &str) -> RequestContext {
        RequestContext {
            project_id: Some(project.into()),
            roles: with_implied_roles([role]),
            is_admin: role == ADMIN,
            ..RequestContext::internal()
        }
    }

    #[test]
    fn each_role_implies_the_ones_below_it() {
        assert_eq!(with_implied_roles(["admin"]), ROLES);
        assert_eq!(with_implied_roles(["reader", "manager"]), ["reader", "manager", "member"]);
        assert_eq!(with_implied_roles(["service"]), ["service"]);
    }

    #[test]
    fn a_role_counts_in_its_own_project_only_and_admin_counts_everywhere() {
        assert!(SERVERS_SHOW.allows(&context("p1", READER), Some("p1")));
        assert!(!SERVERS_SHOW.allows(&context("p1", MEMBER), Some("p2")));
        assert!(SERVERS_SHOW.allows(&context("p1", ADMIN), Some("p2")));
        assert!(!SERVERS_CREATE.allows(&context("p1", READER), Some("p1")));
        assert!(!SERVICES_LIST.allows(&context("p1", MANAGER), None));
        assert!(AVAILABILITY_ZONE_LIST.allows(&context("p1", "nothing"), None));
    }

    #[test]
    fn a_token_without_a_project_is_granted_nothing_that_belongs_to_one() {
        let unscoped = RequestContext { project_id: None, ..context("p1", MEMBER) };
        assert!(!SERVERS_INDEX.allows(&unscoped, unscoped.project_id.as_deref()));
    }

    #[test]
    fn the_text_names_the_rule() {
        let denied = SERVERS_CREATE.check_own(&context("p1", READER));
        assert_eq!(
            denied.map_err(|denied| denied.to_string()),
            Err("Policy doesn't allow os_compute_api:servers:create to be performed.".to_owned())
        );
    }
}
