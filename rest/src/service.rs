//! What is said once of a service, for all of its operations.

use http::StatusCode;
use serde_json::Value;

use crate::{Family, Links, error::Envelope, policy::Rule};

/// A REST service of the cloud: Compute, Identity, Image.
#[derive(Debug)]
pub struct Service {
    /// Its name in the catalog: `nova`.
    pub name: &'static str,
    /// Its type in the catalog, and the name of its section in documents: `compute`.
    pub kind: &'static str,
    /// Where it is: `/compute`.
    pub root: &'static str,
    /// Where its operations are, below the root: `/v2.1`.
    pub version_path: &'static str,
    /// What the catalog names, from the base: `compute/v2.1`, or `image` where clients add the version themselves.
    pub endpoint: &'static str,
    /// Its microversions, if it has any.
    pub microversions: Option<Family>,
    /// The form of its errors.
    pub envelope: Envelope,
    /// Who may do what: every rule, those that only others name among them.
    pub policy: &'static [Rule],
    /// Whether a token is asked for before the router looks at the path, so that strangers can't tell which paths exist.
    /// Where not, each operation that is not public asks for it.
    pub token_first: bool,
    /// Whether a project's id may stand between version and operation: `/compute/v2.1/PROJECT/servers`.
    pub project_in_path: bool,
    /// The minor version from which an operation without a query refuses any parameter; `None`: they are ignored.
    pub no_query_since: Option<u16>,
    /// The methods of tokens that are good for the other services alone: they are refused here.
    pub refused_methods: &'static [&'static str],
    /// What is answered without a token: clients ask for versions before they have one.
    pub documents: &'static [Document],
}

/// A discovery document.
#[derive(Debug)]
pub struct Document {
    /// Where it is, below the service's root; empty for the root itself.
    pub path: &'static str,
    /// What it says.
    pub write: fn(&Links) -> (StatusCode, Value),
}

/// What the catalog says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// The service's name.
    pub name: &'static str,
    /// The service's type.
    pub kind: &'static str,
    /// Where it is, from the base URL.
    pub endpoint: &'static str,
}

impl Service {
    /// What the catalog says of it.
    #[must_use]
    pub const fn catalog_entry(&self) -> CatalogEntry {
        CatalogEntry { name: self.name, kind: self.kind, endpoint: self.endpoint }
    }
}
