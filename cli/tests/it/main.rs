//! The program from end to end: real processes, spoken to as users and operators do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, unreachable_pub, reason = "tests")]

#[macro_use]
mod support;

// What `novella watch` draws, fed with a real cloud's events.
#[path = "../../src/screen/mod.rs"]
#[allow(dead_code, reason = "the rest of the program uses all of it")]
mod screen;

mod abandoned;
mod ansible;
mod bus;
mod client_commands;
mod clients;
mod crash;
mod deaf;
mod documents;
mod faults;
mod frozen;
mod full_screen;
mod history;
mod hostile;
mod hostile_clients;
mod identity_alone;
mod image_clients;
mod images;
mod local;
mod network_alone;
mod network_clients;
mod novaclient;
mod openstack;
mod outages;
mod page;
mod policy;
mod replaced;
mod sdk;
mod server_network_clients;
mod services;
mod storm;
mod story;
mod streams;
mod terminal;
mod terraform;
mod tls;
mod tour;
mod traces;
mod walk;
mod watch;
