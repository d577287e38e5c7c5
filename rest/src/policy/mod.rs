//! Who may do what: the mechanism. The rules are each component's own, described with [`rules!`](crate::rules).
//!
//! A rule is a check in oslo.policy's language ([`Check`]), under OpenStack's name. What a row of [`rules!`](crate::rules)
//! says of who it is granted to ([`Who`]) is written in that language too, so that a file can change it ([`Policy`]) and
//! all rules are asked in one way. By default a rule names a role; it is granted to whoever holds that role in the
//! project that the thing belongs to, and to administrators. Roles imply each other, `admin` ⊃ `manager` ⊃ `member` ⊃
//! `reader`; the implied ones are in the token.
//!
//! ```text
//! rules! ─▶ Who ─▶ text ┐
//!                       ├─ parse ─▶ Check ─▶ Policy ─▶ granted to a Caller, for a Target?
//! policy.yaml ─▶ text ──┘
//! ```
//!
//! A rule is asked before the handler runs, for something of the caller's own; and by the handler for the thing, once that
//! is known. What another project has is not there for anybody but administrators, whatever a file grants.
//!
//! Source: nova/policies/ (34.0.0), with the scopes and the new defaults enforced, as Nova does since 27.

pub mod check;
mod facts;
mod file;
pub mod parse;
#[allow(clippy::module_inception, reason = "it is what a policy is")]
mod policy;

pub use check::Check;
use facts::About;
pub use facts::Caller;
pub use policy::{InForce, Policy, PolicyDescription, PolicyError};

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

/// Whoever has this role in the project that the thing belongs to, and administrators.
pub const READERS: Who = Who::Role(READER);
/// As [`READERS`].
pub const MEMBERS: Who = Who::Role(MEMBER);
/// As [`READERS`].
pub const MANAGERS: Who = Who::Role(MANAGER);
/// Services, and administrators.
pub const SERVICES: Who = Who::AnyOf(&[Grantee::Role(SERVICE)]);

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
    AnyOf(&'static [Grantee]),
    /// Administrators.
    Admin,
    /// Who this check is granted to, in oslo.policy's language.
    Check(&'static str),
}

/// Who a rule can be granted to beside administrators, by what the token is for: the checks of Keystone's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee {
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

impl Who {
    /// The check that says so.
    pub(crate) fn text(self, description: &PolicyDescription) -> String {
        let admin = description.admin;
        match self {
            Self::Anyone => "@".to_owned(),
            Self::Role(role) => (description.in_project)(role),
            Self::Owner => format!("rule:{admin} or user_id:%(user_id)s"),
            Self::AnyOf(grantees) => {
                grantees.iter().fold(format!("rule:{admin}"), |text, grantee| format!("{text} or {}", grantee.text()))
            }
            Self::Admin => format!("rule:{admin}"),
            Self::Check(check) => check.to_owned(),
        }
    }

    /// Whether handlers hold it against the thing, so that it is enough for the row that it could be granted.
    pub(crate) fn depends_on_the_thing(self) -> bool {
        matches!(self, Self::AnyOf(grantees) if grantees.iter().any(|grantee| grantee.depends_on_the_thing()))
    }
}

impl Grantee {
    fn text(self) -> String {
        match self {
            Self::System(role) => format!("(role:{role} and system_scope:all)"),
            Self::Domain(role) => format!("(role:{role} and domain_id:%(target.domain_id)s)"),
            Self::InDomain => "domain_id:%(target.domain_id)s or project_domain_id:%(target.domain_id)s".to_owned(),
            Self::Project => "project_id:%(target.project.id)s".to_owned(),
            Self::InProject(role) => format!("(role:{role} and project_id:%(project_id)s)"),
            Self::InParent(role) => format!("(role:{role} and project_id:%(ext_parent:project_id)s)"),
            Self::Shared => "True:%(shared)s".to_owned(),
            Self::User => "user_id:%(target.user.id)s".to_owned(),
            Self::Own(role) => format!("(role:{role} and user_id:%(target.user.id)s)"),
            Self::Role(role) => format!("role:{role}"),
        }
    }

    fn depends_on_the_thing(self) -> bool {
        !matches!(self, Self::System(_) | Self::Role(_))
    }
}

impl<'t> Target<'t> {
    /// Something of this user's.
    #[must_use]
    pub fn of_user(user: &'t str) -> Self {
        Self { user: Some(user), ..Self::default() }
    }

    /// Something of this project's; `None`: of none.
    #[must_use]
    pub fn of_project(project: Option<&'t str>) -> Self {
        Self { project, ..Self::default() }
    }

    /// Something in this domain; `None`: in none.
    #[must_use]
    pub fn of_domain(domain: Option<&'t str>) -> Self {
        Self { domain, ..Self::default() }
    }

    /// What checks can name of it, in Nova's words and in Keystone's.
    fn attribute(&self, name: &str) -> Option<&'t str> {
        match name {
            "user_id"
            | "target.user.id"
            | "target.credential.user_id"
            | "target.token.user_id"
            | "target.trust.trustor_user_id"
            | "target.trust.trustee_user_id" => self.user,
            "project_id" | "tenant_id" | "target.project.id" | "target.limit.project_id" => self.project,
            "target.domain_id"
            | "target.domain.id"
            | "target.user.domain_id"
            | "target.project.domain_id"
            | "target.group.domain_id"
            | "target.role.domain_id"
            | "target.limit.domain.id"
            | "target.limit.project.domain_id" => self.domain,
            "ext_parent:project_id" | "ext_parent:tenant_id" | "network:project_id" | "network:tenant_id" => {
                self.parent
            }
            "shared" => Some(if self.shared { "True" } else { "False" }),
            _ => None,
        }
    }
}

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// OpenStack's name of it.
    pub name: &'static str,
    /// Who it is granted to.
    pub who: Who,
    /// What it permits, in a sentence.
    pub permits: &'static str,
    /// The policy that it is of.
    pub policy: &'static PolicyDescription,
}

/// Granted to everybody, whatever a file says: of operations that OpenStack asks for no rule.
pub const EVERYBODY: Rule =
    Rule { name: "@", who: Who::Anyone, permits: "What everybody may who has a token.", policy: &NO_SERVICES };

/// Granted to nobody: of a request that has no operation yet.
pub(crate) const NOBODY: Rule = Rule { name: "", who: Who::Admin, permits: "", policy: &NO_SERVICES };

static NO_SERVICES: PolicyDescription = PolicyDescription::DEFAULT;

/// A rule that is not granted, in its service's words.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{}", (.0.policy.denied)(.0.name))]
pub struct Denied(pub Rule);

impl Rule {
    /// Whether it is granted for something of `project`; `None`: for something that belongs to no project.
    #[must_use]
    pub fn allows(&self, caller: &Caller, project: Option<&str>) -> bool {
        caller.is_granted(self, about(caller, project))
    }

    /// As [`Rule::allows`], for something of the caller's own project.
    #[must_use]
    pub fn allows_own(&self, caller: &Caller) -> bool {
        caller.is_granted(self, About::Own)
    }

    /// As [`Rule::allows`], for `?`.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check(&self, caller: &Caller, project: Option<&str>) -> Result<(), Denied> {
        caller.check(self, about(caller, project))
    }

    /// As [`Rule::check`], for something of the caller's own project: a list, a new server.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_own(&self, caller: &Caller) -> Result<(), Denied> {
        caller.check(self, About::Own)
    }

    /// As [`Rule::check`], for something of `user`.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_user(&self, caller: &Caller, user: &str) -> Result<(), Denied> {
        self.check_target(caller, &Target::of_user(user))
    }

    /// As [`Rule::check`], for this.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_target(&self, caller: &Caller, target: &Target<'_>) -> Result<(), Denied> {
        caller.check(self, About::Thing(*target))
    }

    /// What is asked before it is known which thing it is about: whether it is granted for something of the caller's own,
    /// or, where handlers hold it against the thing, whether it could be.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_beforehand(&self, caller: &Caller) -> Result<(), Denied> {
        caller.check(self, if self.who.depends_on_the_thing() { About::Something } else { About::Own })
    }
}

fn about<'t>(caller: &Caller, project: Option<&'t str>) -> About<'t> {
    match project {
        Some(project) if caller.project_id.as_deref() == Some(project) => About::Own,
        project => About::Thing(Target::of_project(project)),
    }
}

/// Describes the rules of a component: a constant for each, and `ALL`.
///
/// ```text
/// rules! { POLICY, "identity:":
///     LIST_USERS: READERS, "List users.";
/// }
/// ```
///
/// The first line names the policy that they are of, and what their names begin with. A row is a constant, who the rule is
/// granted to, and what it permits, which is also what the documentation says of an operation with this rule. Its name is
/// that of the constant in small letters, `identity:list_users`; or the text behind `=`, with the same beginning; or that
/// behind `==`, with none.
#[macro_export]
macro_rules! rules {
    ($policy:ident, $prefix:literal:
     $($constant:ident $(= $name:literal)? $(== $whole:literal)?: $who:expr, $permits:literal;)*) => {
        $(
            #[doc = $permits]
            #[allow(unreachable_pub, reason = "who else sees a component's rules is its own matter")]
            pub const $constant: $crate::policy::Rule = $crate::policy::Rule {
                name: $crate::rule_name!($prefix, $constant $(= $name)? $(== $whole)?),
                who: $who,
                permits: $permits,
                policy: &$policy,
            };
        )*

        /// Every rule.
        #[allow(unreachable_pub, dead_code, reason = "for tests, and for who else sees a component's rules")]
        pub const ALL: &[$crate::policy::Rule] = &[$($constant),*];
    };
}

/// The name of a rule, for [`rules!`](crate::rules).
#[doc(hidden)]
#[macro_export]
macro_rules! rule_name {
    ($prefix:literal, $constant:ident) => {{
        const TEXT: &str = concat!($prefix, stringify!($constant));
        const NAME: [u8; TEXT.len()] = $crate::policy::small_letters(TEXT);
        match ::core::str::from_utf8(&NAME) {
            Ok(name) => name,
            Err(_) => panic!("a constant's name is ASCII"),
        }
    }};
    ($prefix:literal, $constant:ident = $name:literal) => {
        concat!($prefix, $name)
    };
    ($prefix:literal, $constant:ident == $whole:literal) => {
        $whole
    };
}

/// A text of this length in small letters, for [`rules!`](crate::rules).
#[doc(hidden)]
#[must_use]
pub const fn small_letters<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut letters = [0; LENGTH];
    letters.copy_from_slice(text.as_bytes());
    letters.make_ascii_lowercase();
    letters
}

#[cfg(test)]
mod tests;
