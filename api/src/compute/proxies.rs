//! What Nova passes on to other services until 2.35, and this cloud has no service for: volumes and their snapshots, bare metal.
//! There is none of them, and none can be made.

use axum::response::Response;
use http::Method;
use novella_rest::{ApiError, Handler, Operation, Path, delete, get, policy::Rule, post};

use super::networks::UNTIL;
use crate::{Request, policy, state::Api};

/// Lists of what there is none of, and the keys under which they are.
static LISTS: &[(&str, Rule, &str)] = &[
    ("/os-volumes", policy::VOLUMES_LIST, "volumes"),
    ("/os-volumes/detail", policy::VOLUMES_DETAIL, "volumes"),
    ("/os-snapshots", policy::SNAPSHOTS_LIST, "snapshots"),
    ("/os-snapshots/detail", policy::SNAPSHOTS_DETAIL, "snapshots"),
    ("/os-baremetal-nodes", policy::BAREMETAL_NODES_LIST, "nodes"),
];

/// What is asked of one of them, and what is said since there is none: Nova's text, with the id in it.
static ABSENT: &[(Method, &str, Rule, &str)] = &[
    (Method::GET, "/os-volumes/{volume_id}", policy::VOLUMES_SHOW, "Volume {} could not be found."),
    (Method::DELETE, "/os-volumes/{volume_id}", policy::VOLUMES_DELETE, "Volume {} could not be found."),
    (Method::GET, "/os-snapshots/{snapshot_id}", policy::SNAPSHOTS_SHOW, "Snapshot {} could not be found."),
    (Method::DELETE, "/os-snapshots/{snapshot_id}", policy::SNAPSHOTS_DELETE, "Snapshot {} could not be found."),
    (Method::GET, "/os-baremetal-nodes/{node_id}", policy::BAREMETAL_NODES_SHOW, "Node {} could not be found."),
    (Method::DELETE, "/os-baremetal-nodes/{node_id}", policy::BAREMETAL_NODES_SHOW, "Node {} could not be found."),
];

/// What would make one of them, and the service that it needs.
static MADE_BY: &[(&str, Rule, &str)] = &[
    ("/os-volumes", policy::VOLUMES_CREATE, "volume"),
    ("/os-snapshots", policy::SNAPSHOTS_CREATE, "volume"),
    ("/os-baremetal-nodes", policy::BAREMETAL_NODES_LIST, "bare metal"),
];

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let lists = LISTS.iter().map(|(path, rule, key)| {
        let none = move |request: Request| async move { Ok::<_, ApiError>(request.plain(key, [(); 0])) };
        get(path, *rule, none)
    });
    let absent = ABSENT.iter().map(|(method, path, rule, text)| {
        let absent = move |_: Request, Path(id): Path<String>| async move {
            refuse(ApiError::not_found(text.replace("{}", &id)))
        };
        row(method, path, *rule, absent).status(404)
    });
    let made = MADE_BY.iter().map(|(path, rule, service)| {
        let text = format!("This cloud has no {service} service.");
        let refused = move |_: Request| {
            let text = text.clone();
            async move { refuse(ApiError::not_found(text)) }
        };
        post(path, *rule, refused).status(404)
    });
    let refused = |_: Request| async { refuse(ApiError::not_found("This cloud has no bare metal service.")) };
    let interfaces = ["add_interface", "remove_interface"].into_iter().map(move |action| {
        let path = "/os-baremetal-nodes/{node_id}/action";
        post(path, policy::BAREMETAL_NODES_SHOW, refused).action(action).status(404)
    });
    let all = lists.chain(absent).chain(made).chain(interfaces);
    all.map(|operation| operation.until(UNTIL)).collect()
}

fn row<A>(method: &Method, path: &'static str, rule: Rule, handler: impl Handler<Api, A>) -> Operation<Api> {
    match *method {
        Method::DELETE => delete(path, rule, handler),
        _ => get(path, rule, handler),
    }
}

fn refuse(error: ApiError) -> Result<Response, ApiError> {
    Err(error)
}
