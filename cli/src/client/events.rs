//! The stream of events, as `novella watch` follows it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderName, HeaderValue, Method, StatusCode},
};
use futures_util::StreamExt;
use novella_common::config::SecretUrl;
use serde_json::Value;

use super::{Client, succeeded, unreachable, uri};

/// The cloud writes each 15 s, also when there is nothing new.
const SILENCE: Duration = Duration::from_secs(40);

/// What has come on the stream.
#[derive(Debug)]
pub(crate) struct Event {
    /// `server`, `migration`, `lost`, ...
    pub kind: String,
    pub data: Value,
}

/// A stream of events that is being read.
pub(crate) struct Events {
    answer: BodyDataStream,
    /// What has come and is not yet a whole frame.
    buffer: Vec<u8>,
    /// From where on to take up the stream again.
    pub last_id: Option<String>,
    /// Whether it is of every project.
    pub all_projects: bool,
}

impl Client {
    /// Follows what changes, from now on or from an event on: in every project if the user may, otherwise in the own one.
    pub(crate) async fn events(&self, last_id: Option<&str>) -> Result<Events> {
        let endpoint = self.endpoints.get("cloud").context(
            "the catalog names no endpoint of the type 'cloud': the cloud is of an earlier version, or is no Novella",
        )?;
        for all_projects in [true, false] {
            let url = format!("{endpoint}/events{}", if all_projects { "?all_projects=1" } else { "" });
            let mut headers = self.headers();
            if let Some(last_id) = last_id {
                headers.push((HeaderName::from_static("last-event-id"), HeaderValue::from_str(last_id)?));
            }
            let answer = self.http.open(Method::GET, uri(&url)?, headers).await;
            let answer = answer.map_err(|error| unreachable(&SecretUrl::new(url), error))?;
            if all_projects && answer.status() == StatusCode::FORBIDDEN {
                continue;
            }
            if !answer.status().is_success() {
                let answer = tokio::time::timeout(SILENCE, self.http.read(answer)).await.context("no answer")??;
                succeeded(answer, "/events")?;
                bail!("{endpoint}/events says nothing");
            }
            let answer = Body::new(answer.into_body()).into_data_stream();
            let last_id = last_id.map(ToOwned::to_owned);
            return Ok(Events { answer, buffer: Vec::new(), last_id, all_projects });
        }
        bail!("{endpoint}/events refuses");
    }
}

impl Events {
    /// The next event; an error when the stream ends. Dropped while it waits, it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = self.read(&String::from_utf8_lossy(&frame))? {
                    return Ok(event);
                }
            }
            let part = tokio::time::timeout(SILENCE, self.answer.next()).await.context("the stream is silent")?;
            self.buffer.extend_from_slice(&part.context("the stream has ended")??);
        }
    }

    /// Reads what comes next, without understanding it: its bytes.
    pub(crate) async fn read_on(&mut self) -> Result<usize> {
        let part = tokio::time::timeout(SILENCE, self.answer.next()).await.context("the stream is silent")?;
        Ok(part.context("the stream has ended")??.len())
    }

    fn read(&mut self, frame: &str) -> Result<Option<Event>> {
        let (mut kind, mut data) = (None, None);
        for line in frame.lines() {
            match line.split_once(": ") {
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => data = Some(serde_json::from_str(value)?),
                Some(("id", value)) => self.last_id = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(kind.zip(data).map(|(kind, data)| Event { kind, data }))
    }
}
