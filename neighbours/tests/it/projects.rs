//! What Compute relies on of any Identity. The same tests for the component of the same process and for one elsewhere.

use std::sync::Arc;

use novella_common::projects::Projects;
use novella_neighbours::{ProjectsElsewhere, ProjectsHere};
use novella_testing::rest::{Client, id};
use serde_json::json;

use crate::{
    suite::elsewhere::keystone,
    support::{Components, On, PASSWORD, of_each_kind},
};

/// An Identity that is asked in two ways: by Compute's trait, and by its REST API.
struct Asked {
    projects: Arc<dyn Projects>,
    admin: Client,
    components: Components,
}

struct Here(Asked);
struct Elsewhere(Asked);

impl Here {
    async fn new(on: On) -> Self {
        let components = Components::start(on).await;
        let projects = Arc::new(ProjectsHere(components.identity.clone()));
        Self(Asked::by(projects, components).await)
    }
}

impl Elsewhere {
    async fn new(on: On) -> Self {
        let components = Components::start(on).await;
        let projects = Arc::new(ProjectsElsewhere(keystone(&components.url("identity/v3"), PASSWORD).await));
        Self(Asked::by(projects, components).await)
    }
}

impl Asked {
    async fn by(projects: Arc<dyn Projects>, components: Components) -> Self {
        let identity = components.url("identity/v3");
        let admin = Client::login(&identity, &identity, ("admin", PASSWORD), "admin").await;
        Self { projects, admin, components }
    }
}

of_each_kind! {
    async fn a_project_is_there_until_it_is_deleted_and_a_domain_is_none(asked: Asked) {
        let made = id(&asked.admin.make("/projects", "project", json!({"name": "new"})).await);
        for there in [asked.admin.project(), &made] {
            assert_eq!(asked.projects.exists(there).await, Ok(true), "{there}");
        }
        asked.admin.delete(&format!("/projects/{made}")).await.with(204);
        for none in [&made, "default", "", "../users", "0123456789abcdef0123456789abcdef", "ü"] {
            assert_eq!(asked.projects.exists(none).await, Ok(false), "{none}");
        }
    }

    async fn an_identity_that_can_not_answer_says_so(asked: Asked) {
        asked.components.database.close().await;
        let refusal = asked.projects.exists(asked.admin.project()).await.unwrap_err();
        assert_eq!(refusal.status, 503, "{refusal}");
    }
}
