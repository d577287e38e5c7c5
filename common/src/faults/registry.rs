//! The faults of one process, and whether one fires.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use regex::Regex;

use super::{
    fault::{self, Fault, HostOperation, HttpEffect, Rule},
    rpcapi::{FaultId, Fired, KnownFault},
};

/// What a host is about to do.
#[derive(Clone, Copy, Debug)]
pub struct HostEvent<'a> {
    /// The host's name.
    pub host: &'a str,
    /// The name of the server's flavor.
    pub flavor: &'a str,
    /// The server's project.
    pub project: &'a str,
    /// What it is about to do.
    pub operation: HostOperation,
}

/// A fault that fires on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEffect {
    /// Which fault.
    pub id: FaultId,
    /// To be waited first.
    pub delay: Duration,
    /// Then it fails, with this text; `None`: it goes on.
    pub failure: Option<String>,
}

/// A request that has come.
#[derive(Clone, Copy, Debug)]
pub struct HttpEvent<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, without a project in it.
    pub path: &'a str,
    /// The project of its token.
    pub project: Option<&'a str>,
}

/// A fault that fires on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggeredHttp {
    /// Which fault.
    pub id: FaultId,
    /// To be waited first.
    pub delay: Duration,
    /// What then happens; `None`: the request goes on.
    pub effect: Option<HttpEffect>,
}

/// The faults that one process knows. Cheap to clone; all clones are the same.
///
/// What has been cleared is remembered as such: a process that has not heard of it yet must not bring it back.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Kept>>>);

struct Kept {
    known: KnownFault,
    /// Of its path, if it has one.
    pattern: Option<Regex>,
    /// How often it has fired, by host; requests under the empty name.
    fired: HashMap<String, u64>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known.fmt(f)
    }
}

impl Kept {
    fn new(known: KnownFault) -> Result<Self, String> {
        known.fault.check()?;
        let path = match &known.fault.rule {
            Rule::Http(rule) => rule.path.as_deref(),
            Rule::Host(_) => None,
        };
        Ok(Self { pattern: path.map(fault::pattern).transpose()?, known, fired: HashMap::new() })
    }

    fn fault(&self) -> &Fault {
        &self.known.fault
    }

    /// Whether it fires now, which counts.
    fn fires(&mut self, whose: &str) -> bool {
        let used = self.fired.get(whose).copied().unwrap_or_default();
        if self.fault().times.is_some_and(|times| used >= times) {
            return false;
        }
        if self.fault().rate.is_some_and(|rate| !rand::random_bool(rate)) {
            return false;
        }
        *self.fired.entry(whose.to_owned()).or_default() += 1;
        true
    }
}

impl Faults {
    /// The fault that fires on this operation: the oldest that is for it and not used up.
    #[must_use]
    pub fn on_host(&self, event: &HostEvent<'_>) -> Option<HostEffect> {
        let mut faults = self.0.lock();
        let fires = faults.iter_mut().filter(|kept| !kept.known.cleared).find_map(|kept| {
            let Rule::Host(rule) = &kept.known.fault.rule else { return None };
            let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
            let meant = is(&rule.host, event.host)
                && is(&rule.flavor, event.flavor)
                && is(&rule.project, event.project)
                && rule.operation.is_none_or(|operation| operation == event.operation);
            let failure = rule.fail.then(|| rule.message.clone());
            (meant && kept.fires(event.host)).then(|| (kept.known.id.clone(), kept.fault().delay, failure))
        });
        let (id, delay, failure) = fires?;
        let usual = || format!("fault {id}: {} fails on host {}", event.operation, event.host);
        let failure = failure.map(|message| message.unwrap_or_else(usual));
        Some(HostEffect { id, delay, failure })
    }

    /// Whether a fault that is for such a request asks for its project: that costs a look at the token.
    #[must_use]
    pub fn ask_for_project(&self, method: &str, path: &str) -> bool {
        self.0.lock().iter().filter(|kept| !kept.known.cleared).any(|kept| match &kept.known.fault.rule {
            Rule::Http(rule) => rule.project.is_some() && rule.names(kept.pattern.as_ref(), method, path),
            Rule::Host(_) => false,
        })
    }

    /// The fault that fires on this request: the oldest that is for it and not used up.
    #[must_use]
    pub fn on_http(&self, event: &HttpEvent<'_>) -> Option<TriggeredHttp> {
        let mut faults = self.0.lock();
        faults.iter_mut().filter(|kept| !kept.known.cleared).find_map(|kept| {
            let Rule::Http(rule) = &kept.known.fault.rule else { return None };
            let meant = rule.names(kept.pattern.as_ref(), event.method, event.path)
                && rule.project.as_deref().is_none_or(|project| event.project == Some(project));
            let effect = rule.effect.clone();
            (meant && kept.fires("")).then(|| TriggeredHttp {
                id: kept.known.id.clone(),
                delay: kept.fault().delay,
                effect,
            })
        })
    }

    /// All that is known, the oldest first, for another process.
    #[must_use]
    pub fn known(&self) -> Vec<KnownFault> {
        self.0.lock().iter().map(|kept| kept.known.clone()).collect()
    }

    /// How often each has fired here.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        let count = |kept: &Kept| Fired { id: kept.known.id.clone(), count: kept.fired.values().sum() };
        self.0.lock().iter().map(count).collect()
    }

    /// Takes over what is new in `known`: faults, and that some have been cleared. In all processes they stand in the same
    /// order, whatever the order in which they are heard of.
    ///
    /// # Errors
    /// The first that is not valid; the text says why. The others are taken over.
    pub fn learn(&self, known: Vec<KnownFault>) -> Result<(), String> {
        let mut faults = self.0.lock();
        let mut problem = None;
        for known in known {
            if let Some(kept) = faults.iter_mut().find(|kept| kept.known.id == known.id) {
                kept.known.cleared |= known.cleared;
                continue;
            }
            match Kept::new(known) {
                Ok(kept) => faults.push(kept),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        faults.sort_by(|a, b| (a.known.added_at, &a.known.id).cmp(&(b.known.added_at, &b.known.id)));
        problem.map_or(Ok(()), Err)
    }

    /// Clears these, or all. Returns those that there were.
    ///
    /// # Errors
    /// The first id that is not one of a fault in force; then nothing is cleared.
    pub fn clear(&self, ids: Option<&[FaultId]>) -> Result<Vec<FaultId>, FaultId> {
        let mut faults = self.0.lock();
        let in_force = |kept: &&mut Kept| !kept.known.cleared;
        for id in ids.unwrap_or_default() {
            if !faults.iter_mut().filter(in_force).any(|kept| kept.known.id == *id) {
                return Err(id.clone());
            }
        }
        let mut cleared = Vec::new();
        for kept in faults.iter_mut().filter(in_force) {
            if ids.is_none_or(|ids| ids.contains(&kept.known.id)) {
                kept.known.cleared = true;
                cleared.push(kept.known.id.clone());
            }
        }
        Ok(cleared)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
