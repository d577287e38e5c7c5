//! The conductor: drives long tasks, writes down what compute hosts report, and finishes or undoes what was left.

pub mod rpcapi;
