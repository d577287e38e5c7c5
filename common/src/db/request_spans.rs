//! What was done for requests lately, by services that are processes of their own (see [`crate::traces::history`]).

use super::{Connection, DbError, FromRow, Row};
use crate::{sql, traces::KeptSpan};

impl FromRow for KeptSpan {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.read()?,
            parent: row.read()?,
            kind: row.read()?,
            name: row.read()?,
            service: row.read()?,
            host: row.read()?,
            peer: row.read()?,
            sent: row.read()?,
            start: row.read()?,
            end: row.read()?,
            error: row.read()?,
        })
    }
}

/// Writes spans, each with its request's id.
pub async fn insert(connection: &mut Connection, spans: &[(String, KeptSpan)]) -> Result<(), DbError> {
    if spans.is_empty() {
        return Ok(());
    }
    sql!(
        "INSERT INTO request_spans (request_id, span_id, parent_id, kind, name, service, host, peer, sent, began, \
         ended, error) "
    )
    .rows(spans, |(request_id, span), cells| {
        cells.bind(request_id).bind(&span.id).bind(&span.parent).bind(&span.kind).bind(&span.name).bind(&span.service);
        cells.bind(&span.host).bind(&span.peer).bind(&span.sent).bind(&span.start).bind(&span.end).bind(&span.error);
    })
    .execute(connection)
    .await?;
    Ok(())
}

/// What was done for a request, in the order in which it was written; at most `limit` spans.
pub async fn of_request(connection: &mut Connection, request_id: &str, limit: i64) -> Result<Vec<KeptSpan>, DbError> {
    sql!(
        "SELECT span_id, parent_id, kind, name, service, host, peer, sent, began, ended, error FROM request_spans \
         WHERE request_id = " (request_id) " ORDER BY id LIMIT " (limit)
    )
    .fetch_all(connection)
    .await
}

/// Deletes all but the latest. Says how many are gone.
pub async fn keep_latest(connection: &mut Connection, rows: i64) -> Result<u64, DbError> {
    // The numbers have gaps, where a transaction was lost: then it keeps fewer.
    sql!("DELETE FROM request_spans WHERE id <= (SELECT MAX(id) FROM request_spans) - "(rows)).execute(connection).await
}
