//! What Identity knows of projects: the component of the same process, or one elsewhere.

use std::sync::Arc;

use novella_common::{neighbours::Answer, projects::Projects};
use novella_identity::Identity;
use novella_rest::keystone::Keystone;

/// Answers by calling the component.
#[derive(Clone, Debug)]
pub struct ProjectsHere(pub Identity);

impl Projects for ProjectsHere {
    fn exists<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.0.has_project(id).await?) })
    }
}

/// Answers by asking Keystone, or another Novella's Identity, over HTTP.
#[derive(Clone, Debug)]
pub struct ProjectsElsewhere(pub Arc<Keystone>);

impl Projects for ProjectsElsewhere {
    fn exists<'a>(&'a self, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.0.has_project(id).await?) })
    }
}
