//! The database: SQLite or PostgreSQL by the URL's scheme, one set of queries for both.
//!
//! The state of the cloud lives here and nowhere else. Each submodule holds the queries of one thing; a query takes a
//! connection, so that the caller decides what belongs to one transaction. Every change of an instance's state is a
//! compare-and-swap: it names what it expects and says whether it won.
//!
//! sqlx's `Any` driver serves both databases; both understand `$1`. Columns hold only text and 64-bit integers, which
//! `Any` maps alike.

pub mod actions;
pub mod allocations;
pub mod capacities;
pub mod compute_nodes;
mod connect;
mod error;
pub mod flavors;
pub mod identity;
pub mod images;
pub mod instances;
pub mod migrations;
mod row;
pub mod seed;
pub mod services;
mod sql;
pub mod takeover;

pub use connect::{Connection, Database, Transaction};
pub use error::DbError;
