//! Starting services, and stopping them: what the commands that run something have in common.

pub(crate) mod cloud;
pub(crate) mod faults;
pub(crate) mod figures;
pub(crate) mod hosts;
mod images;
mod images_elsewhere;
pub(crate) mod listener;
pub(crate) mod policies;
pub(crate) mod rest;
pub(crate) mod seed;
pub(crate) mod signals;
pub(crate) mod traces;
