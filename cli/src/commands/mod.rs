//! One file for each command.

pub(crate) mod bench;
pub(crate) mod bus;
pub(crate) mod component;
pub(crate) mod db;
mod detach;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod fault;
mod grant;
pub(crate) mod healthcheck;
pub(crate) mod host;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod manual;
pub(crate) mod policy;
pub(crate) mod rpc;
pub(crate) mod save;
pub(crate) mod service;
pub(crate) mod services;
pub(crate) mod show_config;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod watch;
