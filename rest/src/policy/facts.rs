//! What rules are held against: who asks, and for which thing.

use std::{ops::Deref, sync::Arc};

use novella_common::RequestContext;

use super::{
    Denied, EVERYBODY, Policy, Rule, Target,
    check::{Attribute, Facts, NONE},
};
use crate::Token;

/// What checks can name of who asks. Of names in one row each means the same.
pub(super) const CREDENTIALS: &[&str] = &[
    "user_id",
    "token.user.id",
    "project_id",
    "tenant_id",
    "token.project.id",
    "domain_id",
    "token.domain.id",
    "user_domain_id",
    "project_domain_id",
    "token.project.domain.id",
    "system_scope",
    "roles",
    "is_admin",
    "is_admin_project",
    "trust_id",
    "trustor_id",
    "trustee_id",
];

/// Who asks: the context of a request, with the policy of the service that is asked.
#[derive(Clone, Debug)]
pub struct Caller {
    context: RequestContext,
    token: Option<Arc<Token>>,
    policy: Arc<Policy>,
    /// Whether it is another component of the same process, which has asked its own policy.
    inside: bool,
}

impl Deref for Caller {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.context
    }
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'t> {
    /// Something, which is not known yet.
    Something,
    /// Something of the caller's own: of his user, in the project that his token is for.
    Own,
    /// This.
    Thing(Target<'t>),
}

impl Caller {
    /// Whose token this is. What the request is called is taken from `context`; whether he is an administrator is what the
    /// policy says.
    #[must_use]
    pub fn new(context: RequestContext, token: Arc<Token>, policy: Arc<Policy>) -> Self {
        let context = RequestContext {
            user_id: Some(token.user.id.clone()),
            project_id: token.project.as_ref().map(|project| project.id.clone()),
            roles: token.roles.iter().map(|role| role.name.clone()).collect(),
            is_admin: false,
            ..context
        };
        let mut caller = Self { context, token: Some(token), policy, inside: false };
        caller.context.is_admin = caller.policy.is_admin(&Asked { caller: &caller, about: About::Own });
        caller
    }

    /// Who asks without a token, as some requests do: nobody.
    #[must_use]
    pub fn anonymous(context: RequestContext, policy: Arc<Policy>) -> Self {
        let context = RequestContext { user_id: None, project_id: None, roles: Vec::new(), is_admin: false, ..context };
        Self { context, token: None, policy, inside: false }
    }

    /// Another component of the same process, on somebody's behalf. Every rule is granted to it: it has asked its own
    /// policy. What there is to be seen is what `context` may see.
    #[must_use]
    pub fn inside(context: RequestContext) -> Self {
        Self { context, token: None, policy: Arc::default(), inside: true }
    }

    /// Whether somebody is known to ask: with a token, or from inside.
    pub(crate) fn is_known(&self) -> bool {
        self.inside || self.token.is_some()
    }

    /// The same somebody before a service that has this policy.
    #[must_use]
    pub fn before(&self, policy: Arc<Policy>) -> Self {
        match &self.token {
            Some(token) => Self::new(self.context.clone(), Arc::clone(token), policy),
            None => Self::anonymous(self.context.clone(), policy),
        }
    }

    /// The token; `None` for requests that need none.
    #[must_use]
    pub fn token(&self) -> Option<&Arc<Token>> {
        self.token.as_ref()
    }

    /// Whether the rule of this name is granted to him for `target`.
    #[must_use]
    pub fn may(&self, rule: &str, target: Target<'_>) -> bool {
        self.inside || self.policy.grants(rule, &Asked { caller: self, about: About::Thing(target) }, false)
    }

    pub(super) fn is_granted(&self, rule: &Rule, about: About<'_>) -> bool {
        let possible = matches!(about, About::Something);
        self.inside
            || rule.name == EVERYBODY.name
            || self.policy.grants(rule.name, &Asked { caller: self, about }, possible)
    }

    /// The same, for `?`; and said to who reads the log.
    pub(super) fn check(&self, rule: &Rule, about: About<'_>) -> Result<(), Denied> {
        if self.is_granted(rule, about) {
            tracing::trace!(rule = rule.name, "granted");
            return Ok(());
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let in_force = self.policy.rule(rule.name);
            tracing::debug!(
                rule = rule.name,
                check = in_force.map(|rule| rule.check.to_string()),
                line = in_force.and_then(|rule| rule.line),
                user_id = self.user_id,
                project_id = self.project_id,
                roles = self.roles.join(","),
                ?about,
                "not granted"
            );
        }
        Err(Denied(*rule))
    }
}

/// Somebody, and what he asks about.
struct Asked<'a> {
    caller: &'a Caller,
    about: About<'a>,
}

impl Facts for Asked<'_> {
    fn any_role(&self, is: &dyn Fn(&str) -> bool) -> bool {
        self.caller.roles.iter().any(|role| is(role))
    }

    fn credential(&self, name: &str, is: &dyn Fn(&str) -> bool) -> bool {
        let context = &self.caller.context;
        let Some(token) = self.caller.token.as_deref() else { return false };
        let known = |value: Option<&str>| is(value.unwrap_or(NONE));
        let trust = token.trust.as_ref();
        match name {
            "user_id" | "token.user.id" => known(context.user_id.as_deref()),
            "project_id" | "tenant_id" | "token.project.id" => known(context.project_id.as_deref()),
            "domain_id" | "token.domain.id" => known(token.domain.as_ref().map(|domain| domain.id.as_str())),
            "user_domain_id" => is(&token.user_domain.id),
            "project_domain_id" | "token.project.domain.id" => {
                known(token.project_domain.as_ref().map(|domain| domain.id.as_str()))
            }
            "system_scope" => known(token.system.then_some("all")),
            "roles" => self.any_role(is),
            "is_admin" => is(if context.is_admin { "True" } else { "False" }),
            // There is no project of administrators, in which case OpenStack takes each for one.
            "is_admin_project" => is("True"),
            "trust_id" => known(trust.map(|trust| trust.id.as_str())),
            "trustor_id" => known(trust.map(|trust| trust.trustor.as_str())),
            "trustee_id" => known(trust.map(|trust| trust.trustee.as_str())),
            _ => false,
        }
    }

    fn attribute(&self, name: &str) -> Attribute<'_> {
        let context = &self.caller.context;
        let value = match self.about {
            About::Something => return Attribute::Unknown,
            About::Thing(target) => target.attribute(name),
            About::Own => match name {
                "user_id" => context.user_id.as_deref(),
                "project_id" | "tenant_id" => context.project_id.as_deref(),
                // What is asked about by its names is a thing, and there is none.
                _ => None,
            },
        };
        value.map_or(Attribute::Absent, Attribute::Is)
    }
}
