//! What a fault is: which operations or requests it is for, how often, and what then happens.

use std::{fmt, time::Duration};

use regex::Regex;
use serde::{Deserialize, Serialize};

/// The longest delay of a fault. Work that is later than this is taken for lost, and that is another fault.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// A fault, as a person sets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it is for and what happens.
    pub rule: Rule,
    /// How long what it is for takes longer.
    #[serde(default, with = "crate::config::seconds")]
    pub delay: Duration,
    /// How often it fires, on each host or in each API; `None`: until it is cleared.
    #[serde(default)]
    pub times: Option<u64>,
    /// The probability, above 0 and up to 1, that it fires; `None`: always.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// What a fault is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Operations of simulated hosts.
    Host(HostRule),
    /// HTTP requests.
    Http(HttpRule),
}

/// Which operations of which hosts, and what happens. What is not given is not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostRule {
    /// On the host of this name.
    pub host: Option<String>,
    /// For servers of the flavor of this name.
    pub flavor: Option<String>,
    /// For servers of the project of this id.
    pub project: Option<String>,
    /// For this operation.
    pub operation: Option<HostOperation>,
    /// The operation fails.
    pub fail: bool,
    /// With this text; `None`: one that names the fault.
    pub message: Option<String>,
}

/// What a host does with a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names of the driver's operations")]
pub enum HostOperation {
    /// The first start.
    Build,
    PowerOff,
    PowerOn,
    Reboot,
    Pause,
    Unpause,
    Suspend,
    Resume,
    TriggerCrashDump,
    /// An interface comes to a guest, or its first ones do.
    PlugInterface,
    /// An interface leaves a guest.
    UnplugInterface,
    /// The destination's preparation for a live or cold migration.
    PreMigration,
    /// The copying to the destination.
    Migration,
}

impl HostOperation {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Build,
        Self::PowerOff,
        Self::PowerOn,
        Self::Reboot,
        Self::Pause,
        Self::Unpause,
        Self::Suspend,
        Self::Resume,
        Self::TriggerCrashDump,
        Self::PlugInterface,
        Self::UnplugInterface,
        Self::PreMigration,
        Self::Migration,
    ];

    /// Its name, the same on the wire and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::PowerOff => "power_off",
            Self::PowerOn => "power_on",
            Self::Reboot => "reboot",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::TriggerCrashDump => "trigger_crash_dump",
            Self::PlugInterface => "plug_interface",
            Self::UnplugInterface => "unplug_interface",
            Self::PreMigration => "pre_migration",
            Self::Migration => "migration",
        }
    }
}

impl fmt::Display for HostOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which requests, and what happens. What is not given is not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpRule {
    /// With this method.
    pub method: Option<String>,
    /// With this path; `*` stands for anything within a segment, `**` for anything.
    pub path: Option<String>,
    /// With a token for the project of this id.
    pub project: Option<String>,
    /// What happens; `None`: the request goes on (after the delay).
    pub effect: Option<HttpEffect>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpEffect {
    /// It is answered with an error.
    Answer {
        /// 400 to 599.
        status: u16,
        /// Seconds for the header `Retry-After`; `None`: no such header.
        retry_after: Option<u64>,
        /// The text; `None`: one that names the fault.
        message: Option<String>,
    },
    /// The connection ends without an answer.
    Drop,
}

impl Fault {
    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// The text says which part, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.times == Some(0) {
            return Err("0 times is never: at least 1 is needed".into());
        }
        if let Some(rate) = self.rate
            && !(rate > 0.0 && rate <= 1.0)
        {
            return Err(format!("the rate {rate} is not above 0 and up to 1"));
        }
        if self.delay > LONGEST_DELAY {
            let (delay, most) = (self.delay.as_secs_f64(), LONGEST_DELAY.as_secs());
            return Err(format!("the delay of {delay} s is more than {most} s"));
        }
        let nothing = match &self.rule {
            Rule::Host(rule) => !rule.fail,
            Rule::Http(rule) => rule.effect.is_none(),
        };
        if nothing && self.delay.is_zero() {
            return Err("nothing would happen: a fault fails, or takes time, or both".into());
        }
        if let Rule::Http(rule) = &self.rule {
            if let Some(HttpEffect::Answer { status, .. }) = rule.effect
                && !(400..=599).contains(&status)
            {
                return Err(format!("the status {status} is no error: 400 to 599 are"));
            }
            if let Some(path) = rule.path.as_ref().filter(|path| !path.starts_with(['/', '*'])) {
                return Err(format!("the path '{path}' does not begin with '/'"));
            }
            if let Some(path) = &rule.path {
                pattern(path)?;
            }
        }
        Ok(())
    }
}

/// Paths that keep a test's cloud usable: a rule reaches them only if it names them exactly.
pub(super) const SPARED: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/identity/v3/auth/tokens"];

impl HttpRule {
    /// Whether it names what `path` is, with `pattern` made of its own path.
    pub(super) fn names(&self, pattern: Option<&Regex>, method: &str, path: &str) -> bool {
        if self.method.as_ref().is_some_and(|own| !own.eq_ignore_ascii_case(method)) {
            return false;
        }
        if SPARED.contains(&path) {
            return self.path.as_deref() == Some(path);
        }
        pattern.is_none_or(|pattern| pattern.is_match(path))
    }
}

/// A path's pattern as a regular expression.
pub(super) fn pattern(path: &str) -> Result<Regex, String> {
    let parts = path.split("**").map(|part| part.split('*').map(regex::escape).collect::<Vec<_>>().join("[^/]*"));
    let expression = format!("^{}$", parts.collect::<Vec<_>>().join(".*"));
    Regex::new(&expression).map_err(|error| format!("the path '{path}' can't be used: {error}"))
}
