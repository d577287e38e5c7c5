//! The database: SQLite or PostgreSQL by the URL's scheme, one text of each query for both.
//!
//! The state of the cloud lives here and nowhere else. Each submodule holds the queries of one thing; a query takes a
//! connection, so that the caller decides what belongs to one transaction. Every change of an instance's state is a
//! compare-and-swap: it names what it expects and says whether it won.
//!
//! A query is written with [`sql!`](crate::sql!), a table described with [`table!`](crate::table!), a list asked for with
//! [`list::List`]; other crates describe tables and lists of their own with the same. [`value`] says how Rust's types
//! are kept in each database.
//!
//! Every query fails with [`DbError::Sqlx`] when the database can't be reached or breaks off, with
//! [`DbError::NoAnswer`] when it hangs, with [`DbError::TransactionLost`] when it has ended the transaction, which may then
//! be tried again, and with [`DbError::Corrupt`] when a row holds what this program can't have written. An `# Errors`
//! section names what else there is.

pub mod actions;
pub mod aggregates;
pub mod allocations;
pub mod capacities;
pub mod changes;
pub mod compute_nodes;
mod connect;
mod error;
pub mod figures;
pub mod flavors;
mod held;
pub mod host_admission;
pub mod instances;
pub mod list;
pub mod listening;
pub mod migrations;
#[cfg(test)]
mod plans;
mod postgres;
pub mod quotas;
pub mod request_spans;
mod row;
mod schema;
mod server_connection;
pub mod server_groups;
mod server_pool;
pub mod services;
mod sql;
mod sqlite;
pub mod table;
pub mod takeover;
pub mod together;
pub mod value;

pub use connect::{Connection, Database, PooledConnection, Transaction};
pub use error::{BindError, DbError, TRANSACTION_ATTEMPTS};
pub use row::{FromRow, Row};
pub use sql::{Cells, Sql};
pub use table::Table;
pub use value::{Bind, Column, Json, JsonText, Kind, UuidText, Value};
