//! What a storm keeps of itself: which servers it has made, what was asked of them, what was found to be wrong.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::StatusCode;
use tokio::time::Instant;

/// Within which every request is answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What was asked of a server, as far as the audit has to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Whether a delete was accepted, or may have been: its answer did not come.
    pub delete: bool,
    /// Whether a delete was accepted and nothing could have overtaken it.
    pub delete_accepted: bool,
    /// Whether an administrator has called it ERROR, which needs no fault.
    pub called_error: bool,
    /// Whether an administrator has called it ACTIVE, which needs no guest.
    pub called_active: bool,
}

/// Shared by all clients and by who makes the faults.
pub struct Record {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    servers: BTreeMap<String, Asked>,
    findings: Vec<String>,
    /// When the API was frozen or dead; without an end while it is.
    api_away: Vec<(Instant, Option<Instant>)>,
    /// How often each operation got each answer.
    answers: BTreeMap<&'static str, BTreeMap<String, usize>>,
    faults: BTreeMap<&'static str, usize>,
}

impl Record {
    pub fn new() -> Self {
        Self { begun: Instant::now(), inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn servers(&self) -> BTreeMap<String, Asked> {
        self.inner().servers.clone()
    }

    /// A server whose creation was accepted.
    pub fn created(&self, id: &str) {
        self.inner().servers.insert(id.to_owned(), Asked::default());
    }

    pub fn asked(&self, id: &str, note: impl FnOnce(&mut Asked)) {
        note(self.inner().servers.entry(id.to_owned()).or_default());
    }

    /// Those that nobody has asked to delete.
    pub fn alive(&self) -> Vec<String> {
        let inner = self.inner();
        inner.servers.iter().filter(|(_, asked)| !asked.delete).map(|(id, _)| id.clone()).collect()
    }

    /// Something is not as it must be.
    pub fn find(&self, finding: impl fmt::Display) {
        let text = format!("[{:7.2}] {finding}", self.begun.elapsed().as_secs_f64());
        eprintln!("FOUND {text}");
        self.inner().findings.push(text);
    }

    pub fn findings(&self) -> Vec<String> {
        self.inner().findings.clone()
    }

    /// Says when a fault began or ended, for whoever reads the logs.
    pub fn tell(&self, what: impl fmt::Display) {
        eprintln!("[{:7.2}] {} {what}", self.begun.elapsed().as_secs_f64(), jiff::Timestamp::now());
    }

    pub fn fault(&self, kind: &'static str) {
        *self.inner().faults.entry(kind).or_default() += 1;
    }

    pub fn api_goes(&self) {
        self.inner().api_away.push((Instant::now(), None));
    }

    pub fn api_is_back(&self) {
        if let Some((_, end @ None)) = self.inner().api_away.last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Holds an answer, or that there was none, against what every request may expect.
    pub fn answered(
        &self,
        operation: &'static str,
        what: &str,
        asked: Instant,
        answer: Result<StatusCode, &reqwest::Error>,
    ) {
        let excused = self.inner().api_away.iter().any(|(_, end)| end.is_none_or(|end| end > asked));
        let seen = match answer {
            Ok(status) => status.as_u16().to_string(),
            Err(_) => "none".to_owned(),
        };
        *self.inner().answers.entry(operation).or_default().entry(seen).or_default() += 1;
        let took = asked.elapsed();
        match answer {
            // A storm without servers would find nothing.
            Ok(StatusCode::BAD_REQUEST) if operation == "create" => self.find(format!("create {what} is malformed")),
            Ok(status) if status.is_success() || status.is_client_error() => {}
            Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {}
            Ok(status) => self.find(format!("{operation} {what}: {status}")),
            Err(_) if excused => {}
            Err(error) => self.find(format!("{operation} {what}: no answer while the API was there: {error:?}")),
        }
        if took > ANSWER_LIMIT && !excused {
            self.find(format!("{operation} {what}: {answer:?} after {took:?}"));
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        writeln!(f, "{} servers; faults: {:?}", inner.servers.len(), inner.faults)?;
        for (operation, answers) in &inner.answers {
            writeln!(f, "  {operation}: {answers:?}")?;
        }
        Ok(())
    }
}
