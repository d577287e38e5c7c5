//! An operation: one row that says all there is to say of it, but what its handler does.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::response::Response;
use http::Method;
use utoipa::ToSchema;

use crate::{
    ApiError, FieldRule, FieldTable, Microversion, Request,
    handler::{BoxedHandler, Handler},
    list::ListDescription,
    microversion::Versions,
    openapi::{Described, WriteSchema},
    policy::Rule,
    query::check_query,
};

/// An operation of a service whose handlers stand on an `S`.
pub struct Operation<S> {
    pub(crate) method: Method,
    /// Below the service's version, with parameters in braces: `/servers/{server_id}`.
    pub(crate) path: &'static str,
    /// Of several operations on one path: the one key of the body that asks for this one.
    pub(crate) action: Option<&'static str>,
    pub(crate) rule: Rule,
    /// Whether it asks for no token.
    pub(crate) public: bool,
    pub(crate) versions: Versions,
    query: Option<Query>,
    pub(crate) described: Described,
    handler: BoxedHandler<S>,
}

/// What an operation's query may hold, and from which minor version on anything else is refused.
struct Query {
    parameters: Vec<FieldRule>,
    strict_since: u16,
}

impl<S> fmt::Debug for Operation<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $method:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name<S, A>(path: &'static str, rule: Rule, handler: impl Handler<S, A>) -> Operation<S> {
                Operation::new(Method::$method, path, rule, handler)
            }
        )*
    };
}

methods! {
    /// `GET` of `path`, for those whom `rule` is granted to.
    get = GET;
    /// `HEAD` of `path`.
    head = HEAD;
    /// `POST` to `path`.
    post = POST;
    /// `PUT` to `path`.
    put = PUT;
    /// `PATCH` of `path`.
    patch = PATCH;
    /// `DELETE` of `path`.
    delete = DELETE;
}

impl<S> Operation<S> {
    fn new<A, H: Handler<S, A>>(method: Method, path: &'static str, rule: Rule, handler: H) -> Self {
        let mut described = Described::new(rule.permits);
        H::describe(&mut described);
        Self {
            method,
            path,
            action: None,
            rule,
            public: false,
            versions: Versions::ALL,
            query: None,
            described,
            handler: Arc::new(move |request| handler.clone().call(request)),
        }
    }

    /// It is asked for by the body's one key, as the others on this path are: `{"os-start": null}`.
    #[must_use]
    pub const fn action(mut self, name: &'static str) -> Self {
        self.action = Some(name);
        self
    }

    /// The same on another path, which has the same parameters.
    #[must_use]
    pub const fn on_path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// It came with this minor version: 404 before.
    #[must_use]
    pub const fn since(mut self, minor: u16) -> Self {
        self.versions.since = minor;
        self
    }

    /// It was last there in this minor version: 404 after.
    #[must_use]
    pub const fn until(mut self, minor: u16) -> Self {
        self.versions.until = Some(minor);
        self
    }

    /// Its errors of this status have another form than the service's.
    #[must_use]
    pub fn error(mut self, status: u16, schema: WriteSchema) -> Self {
        self.described.error(status, schema);
        self
    }

    /// Its query's parameters; from minor version `strict_since` on, others are refused.
    #[must_use]
    pub fn query(self, parameters: FieldTable, strict_since: u16) -> Self {
        self.parameters(parameters.0.to_vec(), strict_since)
    }

    /// Its query is that of this list; from minor version `strict_since` on, other parameters are refused.
    #[must_use]
    pub fn list(self, list: &ListDescription, strict_since: u16) -> Self {
        self.parameters(list.parameters(), strict_since)
    }

    /// Its query may hold anything, at every version, and means nothing.
    #[must_use]
    pub fn any_query(self) -> Self {
        self.parameters(Vec::new(), u16::MAX)
    }

    fn parameters(mut self, parameters: Vec<FieldRule>, strict_since: u16) -> Self {
        self.described.query(&parameters);
        self.query = Some(Query { parameters, strict_since });
        self
    }

    /// The parameters that its query may hold, where the handler itself refuses others.
    #[must_use]
    pub fn takes(mut self, parameters: impl IntoIterator<Item = &'static str>) -> Self {
        let parameters: Vec<FieldRule> = parameters.into_iter().map(crate::field).collect();
        self.described.query(&parameters);
        self
    }

    /// It asks for no token, and its rule for nothing.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// What it does, where its rule says that of several operations together.
    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.described.summary = summary;
        self
    }

    /// What it answers with when it goes well, where that is not 200.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.described.status = status;
        self
    }

    /// What it answers: a `T`, under `key` where there is one.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, key: &'static str) -> Self {
        self.described.answer::<T>(key, false);
        self
    }

    /// What it answers: a list of `T` under `key`.
    #[must_use]
    pub fn answers_list<T: ToSchema>(mut self, key: &'static str) -> Self {
        self.described.answer::<T>(key, true);
        self
    }

    /// What it is: `GET` of `/servers/{server_id}`, below the service's version.
    #[must_use]
    pub fn route(&self) -> (&Method, &'static str) {
        (&self.method, self.path)
    }

    /// What it answers with when it goes well, or always, if it only refuses.
    #[must_use]
    pub fn answer_status(&self) -> u16 {
        self.described.status
    }

    /// Of several operations on one route: the one key of the body that asks for this one.
    #[must_use]
    pub fn action_key(&self) -> Option<&'static str> {
        self.action
    }

    /// The rule that it asks for; `None` if it asks for no token.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        (!self.public).then_some(self.rule)
    }

    /// The last minor version that has it; `None`: every later one.
    #[must_use]
    pub fn last_version(&self) -> Option<u16> {
        self.versions.until
    }

    /// Does what the row says, and then what the handler does.
    pub(crate) async fn run(&self, mut request: Request<S>) -> Result<Response, ApiError> {
        if !self.versions.includes(request.version) {
            return Err(self.not_at(request.version));
        }
        if !self.public {
            if request.token.is_none() {
                return Err(ApiError::Unauthorized);
            }
            self.rule.check_beforehand(&request.context)?;
        }
        request.check_text()?;
        match &self.query {
            Some(query) => check_query(&request.query, &query.parameters, request.version, query.strict_since)?,
            None => {
                if let Some(since) = request.service.no_query_since.filter(|_| self.method == Method::GET) {
                    check_query(&request.query, &[], request.version, since)?;
                }
            }
        }
        request.rule = self.rule;
        let held = (!self.public && self.rule.who.depends_on_the_thing()).then(Arc::<AtomicBool>::default);
        request.held.clone_from(&held);
        let answer = (self.handler)(request).await?;
        // Until then it was only possible that it is granted. A handler that forgets it is found by any test of it.
        debug_assert!(
            held.is_none_or(|held| held.load(Ordering::Relaxed)),
            "{self:?} has not held {} against what it is about",
            self.rule.name
        );
        Ok(answer)
    }

    /// 404 at a version that does not have it: in Nova's words, and with what would help.
    fn not_at(&self, version: Microversion) -> ApiError {
        let major = version.major;
        let when = match self.versions.until {
            Some(until) if version.at_least(until) => format!("last there in microversion {major}.{until}"),
            _ => format!("there from microversion {major}.{} on", self.versions.since),
        };
        ApiError::not_found(format!("The resource could not be found. It is {when}."))
    }
}
