//! What every REST service stands on. It knows no component: Compute, Identity and Image describe themselves with it.
//!
//! | to describe ... | is to write ... |
//! | --- | --- |
//! | a service | a [`Service`]: where it is, its microversions, its form of errors |
//! | an operation | a row, an [`Operation`]: method, path, policy rule, versions, query, handler |
//! | a request's body | a [`body!`]: its fields with their types and versions |
//! | a list | a [`List`](novella_common::db::list::List): filters and sort keys over a table |
//! | a rule of the policy | a row of [`rules!`] |
//!
//! Routing, authorisation, validation, the OpenAPI document and `docs/compatibility.md` follow from that. A request
//! passes, from the outside in:
//!
//! ```text
//! request id ▶ log span ▶ path made plain ▶ faults, if enabled ▶ form of errors ▶ panic guard ▶ time limit ▶ a place
//!     ▶ body limit ▶ token ▶ microversion ▶ router ▶ row: versions, rule, text, query, body ▶ handler
//! ```

pub mod answer;
mod authentication;
mod body;
mod config;
mod error;
mod faults;
mod handler;
mod http_client;
pub mod inputs;
mod json_reader;
pub mod keystone;
mod links;
pub mod list;
mod logging;
pub mod metrics;
mod microversion;
mod open_body;
pub mod openapi;
mod operation;
pub mod paging;
pub mod policy;
mod proxy;
mod query;
mod request;
mod request_id;
mod request_limiter;
mod server;
mod service;
mod text;
mod time_limit;
pub mod times;
mod tls;
mod unread_body;

pub use authentication::{AccessRule, ApplicationCredential, Authenticator, Named, Token, TokenWatch, Trust, token_in};
pub use body::{Body, Nullable, as_object, object, only_value, read_field, refuse_unknown, typed, wrong};
pub use config::RestConfig;
pub use error::{ApiError, Envelope, keystone_envelope};
pub use handler::{Argument, Handler, Null, Path};
pub use http_client::{Connections, HttpAnswer, HttpClient, HttpClientError, Verify, connections};
pub use links::{Link, Links};
pub use microversion::{Family, FieldRule, FieldTable, Microversion, Shaped, Versions, field};
pub use open_body::{read_open, repr, wrapped, wrong_open};
pub use operation::{Operation, delete, get, head, patch, post, put};
pub use proxy::Network;
pub use query::{Parameters, truth};
pub use request::Request;
pub use server::Server;
pub use service::{CatalogEntry, Document, Service};
pub use tls::Tls;

/// For the macros.
#[doc(hidden)]
pub mod macros {
    pub use serde_json;
    pub use utoipa;
}
