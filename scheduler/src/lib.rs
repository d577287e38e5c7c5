//! Chooses hosts for instances: filters, then weighers, then a claim that can't overcommit.

pub mod rpcapi;
