//! The API by itself: its router, a database and a bus, and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "a test that cannot go on fails")]

#[macro_use(on_both)]
extern crate novella_testing;

mod aggregates;
mod attachments;
mod document;
mod events;
mod flavors;
mod http;
mod identity;
mod identity_catalog;
mod identity_delegation;
mod identity_elsewhere;
mod identity_resources;
mod identity_revocation;
mod identity_roles;
mod image_proxies;
mod images;
mod images_cache;
mod images_data;
mod images_records;
mod images_stores;
mod interfaces;
mod keypairs;
mod limits;
mod locks;
mod matrix;
mod migrations;
mod network_proxies;
mod old_resources;
mod operations;
mod operators;
mod outages;
mod policy;
mod quotas;
mod seed;
mod server_fields;
mod server_groups;
mod server_networks;
mod server_parts;
mod servers;
mod services_hypervisors_limits;
mod soft_delete;
mod support;
mod tags;
mod text;
mod usage;
mod whole_answers;
