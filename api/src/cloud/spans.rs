//! What the services that may have worked for a request tell of it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use novella_common::{
    RequestContext,
    db::{DbError, request_spans, services},
    models::Binary,
    traces::{self, KeptSpan, MOST_OF_ONE, rpcapi::TracesClient},
};

use crate::state::Api;

/// How long a service is waited for. One that is down says nothing, and the rest is told without it.
const SPANS_TIMEOUT: Duration = Duration::from_secs(2);

/// All that is known of a request: of this process, of schedulers and conductors, of these hosts, and of processes that have
/// gone, from the database. Says too who did not answer.
pub(super) async fn of_request(
    api: &Api,
    context: &RequestContext,
    request_id: &str,
    hosts: BTreeSet<String>,
) -> Result<(Vec<KeptSpan>, Vec<String>), DbError> {
    let mut spans = traces::ring().map(|ring| ring.of_request(request_id)).unwrap_or_default();
    // There all services are this process.
    if api.transport.is_in_process() {
        return Ok((spans, Vec::new()));
    }
    let mut connection = api.database.read().await?;
    let fresh_since = api.fresh_since(&mut connection).await?;
    let found = services::list(&mut connection, None, None).await?;
    let limit = i64::try_from(MOST_OF_ONE).unwrap_or(i64::MAX);
    let of_all = request_spans::of_request(&mut connection, request_id, limit).await?;
    drop(connection);
    let wanted = found.into_iter().filter(|service| service.is_up(&fresh_since)).filter_map(|service| {
        let topic = match service.binary {
            Binary::Api => return None,
            Binary::Scheduler => "scheduler",
            Binary::Conductor => "conductor",
            Binary::Compute if hosts.contains(&service.host) => "compute",
            Binary::Compute => return None,
        };
        Some((topic, service.host))
    });
    let client = TracesClient::new(&api.transport).timeout(SPANS_TIMEOUT);
    let asked = wanted.map(|(topic, host)| ask(&client, context, request_id, topic, host));
    let answers = join_all(asked.collect::<Vec<_>>()).await;
    let mut silent = Vec::new();
    for answer in answers {
        match answer {
            Ok(known) => spans.extend(known),
            Err(who) => silent.push(who),
        }
    }
    // Most of these have been told by who did it.
    let told: BTreeSet<String> = spans.iter().map(|span| span.id.clone()).collect();
    spans.extend(of_all.into_iter().filter(|span| !told.contains(&span.id)));
    Ok((spans, silent))
}

/// What one service tells; who it is, if it does not answer.
async fn ask(
    client: &TracesClient,
    context: &RequestContext,
    request_id: &str,
    topic: &'static str,
    host: String,
) -> Result<Vec<KeptSpan>, String> {
    let answer = client.topic(topic).server(host.as_str()).spans(context, request_id.to_owned()).await;
    answer.map_err(|error| {
        tracing::debug!(topic, host, %error, "a service does not tell of a request");
        format!("{topic}.{host}")
    })
}
