//! Who may do what: the mechanism. The rules are each component's own, described with [`rules!`](crate::rules).
//!
//! A rule names a role. It is granted to whoever holds the role in the project that the thing belongs to, and to
//! administrators. Roles imply each other, `admin` ⊃ `manager` ⊃ `member` ⊃ `reader`; the implied ones are in the token,
//! so that a check is one look-up.
//!
//! Source: nova/policies/ (34.0.0), with the scopes and the new defaults enforced, as Nova does since 27.

use novella_common::RequestContext;

use crate::Token;

/// The role that may do everything.
pub const ADMIN: &str = "admin";
/// The role that runs a project: migrations of its servers.
pub const MANAGER: &str = "manager";
/// The role that uses a project.
pub const MEMBER: &str = "member";
/// The role that looks.
pub const READER: &str = "reader";

/// The role of services that check tokens.
pub const SERVICE: &str = "service";

/// The roles that every cloud has. Each but the last implies the one after it, until [`READER`].
pub const ROLES: [&str; 5] = [ADMIN, MANAGER, MEMBER, READER, SERVICE];

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
    /// Whoever fulfils one of these, and administrators. The row of an operation lets a token pass that could fulfil one
    /// for some thing; where that depends on the thing, the handler checks it by [`Rule::check_target`].
    AnyOf(&'static [Claim]),
    /// Administrators.
    Admin,
}

/// What a token can be good for beside its project: the checks of Keystone's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This role, with a token for the system.
    System(&'static str),
    /// This role, with a token for the domain that the thing belongs to.
    Domain(&'static str),
    /// A token for the domain that the thing belongs to, or for a project in it.
    InDomain,
    /// A token for the project that the thing is, or belongs to.
    Project,
    /// This role, with a token for the project that the thing belongs to.
    InProject(&'static str),
    /// This role, with a token for the project that what the thing is part of belongs to: of a port its network.
    InParent(&'static str),
    /// Whoever the thing is shared with.
    Shared,
    /// The user that the thing is, or belongs to.
    User,
    /// This role, in whatever the token is for, and for what is the user's own.
    Own(&'static str),
    /// This role, in whatever the token is for.
    Role(&'static str),
}

/// Whose a thing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target<'t> {
    /// The user that it is, or belongs to.
    pub user: Option<&'t str>,
    /// The project that it is, or belongs to.
    pub project: Option<&'t str>,
    /// The project that what it is part of belongs to.
    pub parent: Option<&'t str>,
    /// Whether it is shared with whoever asks.
    pub shared: bool,
    /// The domain that it belongs to.
    pub domain: Option<&'t str>,
}

impl Claim {
    /// Whether a token fulfils it for `target`; `None`: for some thing.
    fn fulfilled(self, token: &Token, target: Option<&Target<'_>>) -> bool {
        let holds = |role: &str| token.roles.iter().any(|held| held.name == role);
        let is = |own: Option<&str>, of: fn(&Target<'_>) -> Option<String>| match (own, target) {
            (Some(own), Some(target)) => of(target).as_deref() == Some(own),
            (own, None) => own.is_some(),
            (None, Some(_)) => false,
        };
        let domain = token.domain.as_ref().map(|domain| domain.id.as_str());
        let user = Some(token.user.id.as_str());
        let project = token.project.as_ref().map(|project| project.id.as_str());
        let in_domain = |own| is(own, |target| target.domain.map(ToOwned::to_owned));
        let users = |own| is(own, |target| target.user.map(ToOwned::to_owned));
        match self {
            Self::System(role) => token.system && holds(role),
            Self::Domain(role) => holds(role) && in_domain(domain),
            Self::InDomain => {
                let of_project = token.project_domain.as_ref().map(|domain| domain.id.as_str());
                in_domain(domain) || in_domain(of_project)
            }
            Self::Project => is(project, |target| target.project.map(ToOwned::to_owned)),
            Self::InProject(role) => holds(role) && is(project, |target| target.project.map(ToOwned::to_owned)),
            Self::InParent(role) => holds(role) && is(project, |target| target.parent.map(ToOwned::to_owned)),
            Self::Shared => target.is_none_or(|target| target.shared),
            Self::User => users(user),
            Self::Own(role) => holds(role) && users(user),
            Self::Role(role) => holds(role),
        }
    }
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
            // What it depends on is not in a context.
            Who::Admin | Who::AnyOf(_) => false,
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

    /// Whether it is granted to this token for `target`; `None`: for some thing.
    #[must_use]
    pub fn allows_target(&self, token: &Token, target: Option<&Target<'_>>) -> bool {
        let admin = token.roles.iter().any(|role| role.name == ADMIN);
        match self.who {
            Who::Anyone => true,
            Who::AnyOf(claims) => admin || claims.iter().any(|claim| claim.fulfilled(token, target)),
            Who::Owner => admin || Claim::User.fulfilled(token, target),
            Who::Admin | Who::Role(_) => admin,
        }
    }

    /// As [`Rule::allows_target`], for `?`.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_target(&self, token: &Token, target: &Target<'_>) -> Result<(), Denied> {
        if self.allows_target(token, Some(target)) { Ok(()) } else { Err(Denied { rule: self.name }) }
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
            roles: ROLES.into_iter().skip_while(|held| *held != role).map(ToOwned::to_owned).collect(),
            is_admin: role == ADMIN,
            ..RequestContext::internal()
        }
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
