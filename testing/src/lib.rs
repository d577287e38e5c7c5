//! Real servers for tests, one private corner of them for each test.
//!
//! `./test` starts a RabbitMQ and a PostgreSQL that belong to this run alone and says by environment variables where
//! they are. From these a test takes what it needs and shares it with no other test:
//!
//! - [`Vhost`]: a virtual host of RabbitMQ, and the means to hurt it (delete a queue, cut the connections);
//! - [`Broker`]: a whole RabbitMQ of its own, for what would disturb others: to stop it, kill it, or raise an alarm;
//! - [`Database`]: a database of PostgreSQL, or a file of SQLite;
//! - [`Postgres`]: a whole PostgreSQL of its own, to stop it or crash it;
//! - [`Proxy`]: a network in front of any of them that fails when it is told to.
//!
//! All remove themselves when dropped, also when the test panics. A test that asks for a server while none is there
//! fails with a text that says how to get one; it is never skipped in silence. So that `./test --embedded` can leave
//! such tests out by name, they live in a module `on_rabbitmq`, `on_postgres` or `on_rabbitmq_and_postgres`.
//!
//! Apart from these, [`rest`] has a client of OpenStack's APIs, [`on_both`] makes a test on SQLite and on PostgreSQL of each
//! behaviour, and [`python`] installs what is written in Python.
//!
//! This crate is a dev-dependency only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test support: whatever goes wrong here fails the test that asked, and says why"
)]

mod broker;
mod database;
mod environment;
mod ports;
mod postgres;
mod proxy;
pub mod python;
pub mod rest;
mod teardown;
mod template;
mod vhost;
mod waiting;

pub use broker::Broker;
pub use database::{Database, On};
pub use ports::free_port;
pub use postgres::Postgres;
pub use proxy::{Network, Proxy};
pub use vhost::Vhost;
pub use waiting::{TEST_TIMEOUT, eventually, within};
