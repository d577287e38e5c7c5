//! Routes and actions that not every version has: 404 outside.

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa_axum::router::UtoipaMethodRouter;

use super::Microversion;
use crate::error::ApiError;

/// The versions that have a route or an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    since: Microversion,
    until: Option<Microversion>,
}

impl Served {
    /// All of them.
    pub(crate) const ALWAYS: Self = Self { since: Microversion::MIN, until: None };

    /// From 2.`minor` on.
    pub(crate) const fn since(minor: u16) -> Self {
        Self { since: Microversion::v2(minor), until: None }
    }

    /// Up to 2.`minor`.
    pub(crate) const fn until(minor: u16) -> Self {
        Self { since: Microversion::MIN, until: Some(Microversion::v2(minor)) }
    }

    /// Whether `version` has it.
    pub(crate) fn includes(self, version: Microversion) -> bool {
        version >= self.since && self.until.is_none_or(|until| version <= until)
    }
}

async fn check(State(served): State<Served>, version: Microversion, request: Request, next: Next) -> Response {
    if served.includes(version) { next.run(request).await } else { ApiError::no_such_path().into_response() }
}

/// Registering a route for some versions only.
pub(crate) trait ServedExt {
    /// The same routes, for these versions; the OpenAPI document says so in `x-openstack`.
    fn served(self, served: Served) -> Self;
}

impl<S: Clone + Send + Sync + 'static> ServedExt for UtoipaMethodRouter<S> {
    fn served(self, served: Served) -> Self {
        let (schemas, mut paths, router) = self;
        let versions = json!({
            "min-ver": served.since.to_string(),
            "max-ver": served.until.map(|until| until.to_string()),
        });
        let operations = paths
            .paths
            .values_mut()
            .flat_map(|item| [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten());
        for operation in operations {
            let extension = ExtensionsBuilder::new().add("x-openstack", versions.clone()).build();
            operation.extensions.get_or_insert_default().merge(extension);
        }
        (schemas, paths, router.layer(from_fn_with_state(served, check)))
    }
}
