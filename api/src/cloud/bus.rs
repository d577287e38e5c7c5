//! `/bus`: the bus and its dead letters, for whoever runs the cloud.

use axum::response::Response;
use novella_common::{db::services, models::Binary};
use novella_messaging::{BusReport, DeadLetter, DeadLetterAction};
use novella_rest::{ApiError, Operation, body, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// Dead letters that are looked through at once, from the oldest on.
const LETTERS: usize = 1000;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const LETTERS: &str = "/bus/dead-letters";
    const ACTION: &str = "/bus/dead-letters/action";
    vec![
        get("/bus", policy::BUS_SHOW, show).answers::<BusView>("bus"),
        get(LETTERS, policy::DEAD_LETTERS_LIST, letters).answers_list::<Letter>("dead_letters"),
        post(ACTION, policy::DEAD_LETTERS_RETRY, retry).action("retry").answers::<DisposedView>("disposed"),
        post(ACTION, policy::DEAD_LETTERS_DROP, discard).action("drop").answers::<DisposedView>("disposed"),
    ]
}

/// What is on the bus.
#[derive(Serialize, ToSchema)]
struct BusView {
    exchanges: Vec<Exchange>,
    queues: Vec<Queue>,
    bindings: Vec<Binding>,
    /// Whether this is all there is.
    complete: bool,
    /// What is not here, and how to have it.
    missing: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Exchange {
    name: String,
    kind: String,
}

#[derive(Serialize, ToSchema)]
struct Queue {
    name: String,
    /// Messages that wait for a consumer.
    ready: u64,
    /// Messages that are delivered and not settled yet; null where the bus does not tell.
    unacked: Option<u64>,
    consumers: u64,
}

#[derive(Serialize, ToSchema)]
struct Binding {
    exchange: String,
    routing_key: String,
    queue: String,
}

/// A message that was set aside.
#[derive(Serialize, ToSchema)]
struct Letter {
    id: String,
    /// The queue it was taken from.
    queue: String,
    reason: String,
    time: String,
    deliveries: u32,
    method: Option<String>,
    event_type: Option<String>,
    request_id: Option<String>,
    body: String,
    /// Bytes of a message that was too large, of which `body` is the beginning.
    cut: Option<u64>,
    /// Whether the broker does not vouch for `queue`.
    doubtful: bool,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { id, reason, queue, time, deliveries, method, event_type, request_id, body, cut, doubtful } =
            letter;
        Self { id, queue, reason, time, deliveries, method, event_type, request_id, body, cut, doubtful }
    }
}

/// What has become of those that were chosen.
#[derive(Serialize, ToSchema)]
struct DisposedView {
    /// How many were sent again or deleted.
    count: usize,
    /// Those that stay where they are, and why.
    failed: Vec<Failed>,
}

#[derive(Serialize, ToSchema)]
struct Failed {
    id: String,
    queue: String,
    reason: String,
}

/// Names a dead letter: the copies of a fanout differ in their queues only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    id: String,
    queue: String,
}

body! {
    /// Which are to be sent again.
    struct Retry in "retry" {
        letters: Vec<Chosen> = "letters",
    }
}

body! {
    /// Which are to be deleted.
    struct Discard in "drop" {
        letters: Vec<Chosen> = "letters",
    }
}

/// Shows the bus.
async fn show(request: Request) -> Result<Response, ApiError> {
    // Each service has a queue of its own.
    let found = services::list(&mut *request.state.database.read().await?, None, None).await?;
    let own = found.iter().filter(|service| service.binary != Binary::Api);
    let own = own.map(|service| format!("{}.{}", service.binary.as_str().trim_start_matches("nova-"), service.host));
    let (report, missing) = request.elsewhere(request.state.bus.report(own.collect())).await?;
    let BusReport { exchanges, queues, bindings, complete } = report;
    let view = BusView {
        exchanges: exchanges.into_iter().map(|it| Exchange { name: it.name, kind: it.kind }).collect(),
        queues: queues
            .into_iter()
            .map(|it| Queue { name: it.name, ready: it.ready, unacked: it.unacked, consumers: it.consumers })
            .collect(),
        bindings: bindings
            .into_iter()
            .map(|it| Binding { exchange: it.exchange, routing_key: it.routing_key, queue: it.queue })
            .collect(),
        complete,
        missing,
    };
    Ok(request.plain("bus", view))
}

/// What the bus did not do.
fn refused(error: &novella_messaging::MessagingError) -> ApiError {
    ApiError::Unavailable(format!("The bus can't be asked: {error}"))
}

/// Lists the oldest dead letters.
async fn letters(request: Request) -> Result<Response, ApiError> {
    let found = request.elsewhere(request.state.transport.dead_letters(LETTERS)).await;
    let found: Vec<Letter> = found.map_err(|error| refused(&error))?.into_iter().map(Letter::from).collect();
    Ok(request.plain("dead_letters", found))
}

/// Sends dead letters again.
async fn retry(request: Request, Retry { letters }: Retry) -> Result<Response, ApiError> {
    dispose(request, letters, DeadLetterAction::Resend).await
}

/// Deletes dead letters.
async fn discard(request: Request, Discard { letters }: Discard) -> Result<Response, ApiError> {
    dispose(request, letters, DeadLetterAction::Discard).await
}

async fn dispose(request: Request, chosen: Vec<Chosen>, action: DeadLetterAction) -> Result<Response, ApiError> {
    let decide = |letter: &DeadLetter| {
        let is_chosen = chosen.iter().any(|it| it.id == letter.id && it.queue == letter.queue);
        if is_chosen { action } else { DeadLetterAction::Keep }
    };
    let disposed = request.elsewhere(request.state.transport.dispose_of_dead_letters(LETTERS, decide)).await;
    let disposed = disposed.map_err(|error| refused(&error))?;
    if disposed.count == 0 && disposed.failed.is_empty() {
        return Err(ApiError::not_found("There is no such dead letter any more."));
    }
    tracing::info!(?action, count = disposed.count, failed = disposed.failed.len(), "dead letters");
    let failed = disposed.failed.into_iter().map(|(letter, error)| Failed {
        id: letter.id,
        queue: letter.queue,
        reason: error.to_string(),
    });
    Ok(request.plain("disposed", DisposedView { count: disposed.count, failed: failed.collect() }))
}
