//! `/events`: what changes, as it changes, as server-sent events.
//!
//! ```text
//!   the database ◀── each 0.2 to 1 s, while somebody follows ── Feed ──batches──▶ Follower ──▶ a client
//!                ◀── what a client has missed ───────────────────────────── Follower
//! ```
//!
//! An event is a row that has changed, as it is now, and its id a moment: *what was changed until then has been sent*. So
//! an id is good in every process and for ever, a client that was away or slow gets what it has missed from the rows, and
//! nothing is kept for it meanwhile. What changes twice in a short time may be one event, and an event may come twice.
//!
//! | event | of | told to |
//! | --- | --- | --- |
//! | `hello` | the stream: it has begun | all |
//! | `server` | the row as it is now, under the names of the Compute API | its project; with `all_projects`, everybody's |
//! | `migration` | likewise | likewise, to those who may list a server's migrations |
//! | `host`, `service` | what it has, whether it is up | with `all_projects`: all at the start, then what changes |
//! | `lost` | more was missed than is made up for: read the lists again | all |
//! | `stale`, `current` | the rows can't be read, or can be again | all |
//! | `end` | the token is not valid any more | all |

mod feed;
mod follower;
mod views;

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use novella_rest::{ApiError, FieldTable, Operation, field, get};

pub(crate) use self::feed::Feed;
use self::{feed::Position, follower::Follower};
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/events", policy::EVENTS, follow).query(QUERY, 0)]
}

const QUERY: FieldTable = FieldTable(&[field("all_projects").once()]);

/// What a client is told.
#[derive(Debug)]
struct Viewer {
    /// Its project; `None`: every project, hosts and services.
    project: Option<String>,
    /// Whether it is told where servers are.
    with_hosts: bool,
    /// Whether it is told of migrations.
    with_migrations: bool,
}

/// Follows what changes, from now on or from the event that `Last-Event-ID` names.
async fn follow(request: Request) -> Result<Response, ApiError> {
    let all = request.query.boolean("all_projects").transpose()?.unwrap_or(false);
    if all {
        policy::EVENTS_ALL.check_own(&request.context)?;
    }
    // A token for the system is for no project, and may follow all.
    let project = if all { None } else { Some(request.project()?.to_owned()) };
    let viewer = Viewer {
        with_migrations: policy::SERVER_MIGRATIONS_INDEX.allows(&request.context, project.as_deref()),
        with_hosts: policy::EXTENDED_SERVER_ATTRIBUTES.allows(&request.context, project.as_deref()),
        project,
    };
    let last = match request.headers().get("last-event-id") {
        Some(id) => Some(id.to_str().ok().and_then(Position::read).ok_or_else(|| {
            ApiError::bad_request("Invalid value for the header Last-Event-ID: it is the id of no event.")
        })?),
        None => None,
    };
    let watch = request.token_watch().ok_or(ApiError::Unauthorized)?;
    let follower = Follower::new(&request.state.feed, request.client, viewer, last, watch)?;
    let mut response = Response::new(Body::from_stream(follower.frames()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that keeps an answer until there is much of it would keep it for ever.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
