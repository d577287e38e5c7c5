//! What the end-to-end tests share: processes, clouds made of them, and a client.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod client;
pub mod cloud;
pub mod process;
