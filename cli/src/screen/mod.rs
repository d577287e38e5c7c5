//! What the full-screen `novella watch` shows, and what keys do to it. Nothing in here waits, asks or writes: events, lists
//! and keys go in; what is to be asked of the API, and a picture, come out.
//!
//! ```text
//!   lists, events ──▶ Model ──┐                 ┌──▶ Command, asked of the API ──▶ Answer ──┐
//!                             ├──▶ Screen ──────┤                                           │
//!   keys ─────────────────────┘      ▲          └──▶ draw, a frame of the terminal          │
//!                                    └──────────────────────────────────────────────────────┘
//! ```

mod draw;
mod keys;
mod model;
mod tables;
pub(crate) mod waterfall;

use novella_common::printable::{Lines, printable};
use serde_json::Value;

pub(crate) use self::model::{Model, Rights, Tone};
use self::waterfall::Bar;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Servers,
    Hosts,
    Migrations,
    Changes,
}

impl View {
    const ALL: [Self; 4] = [Self::Servers, Self::Hosts, Self::Migrations, Self::Changes];

    const fn title(self) -> &'static str {
        match self {
            Self::Servers => "Servers",
            Self::Hosts => "Hosts",
            Self::Migrations => "Migrations",
            Self::Changes => "Events",
        }
    }
}

/// What is to be asked of the API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Quit,
    /// The story of the latest request that changed a server.
    StoryOfServer(String),
    /// The story of a request.
    Story(String),
    LiveMigrate {
        server: String,
        name: String,
    },
    Abort {
        server: String,
        name: String,
        migration: i64,
    },
    /// No new servers, and these to other hosts.
    Drain {
        host: String,
        service: String,
        servers: Vec<String>,
    },
    Enable {
        host: String,
        service: String,
    },
}

/// What the API has answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A sentence, and whether all went well.
    Said(String, bool),
    /// The story of a request, or why there is none; with the requests of the server that it was opened from, the latest
    /// first: what was asked, and the request's id.
    Story { request: String, of_server: Vec<(String, String)>, story: Result<Value, String> },
}

/// How current the picture is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Not yet connected.
    Begins,
    Live,
    /// The cloud can't read what changes.
    Stale,
    /// Not connected: why.
    Broken(String),
}

/// A question at the bottom of the screen.
#[derive(Clone, Debug)]
enum Prompt {
    /// Yes or no.
    Confirm(String, Command),
    /// A request's id, as far as it is typed.
    Request(String),
    /// A part of a name.
    Filter,
}

/// The story that is read.
#[derive(Clone, Debug, Default)]
struct Story {
    request: String,
    of_server: Vec<(String, String)>,
    servers: String,
    bars: Vec<Bar>,
    /// Services that did not answer.
    silent: Vec<String>,
    problem: Option<String>,
    chosen: usize,
}

impl Story {
    fn goes_on(&self) -> bool {
        self.bars.iter().any(|bar| bar.took.is_none())
    }
}

/// Which row of a view is chosen.
#[derive(Clone, Debug, Default)]
struct Cursor {
    /// By its key, so that it stays where rows come and go.
    key: Option<String>,
    /// Where it was last.
    index: usize,
    /// The first row that is drawn.
    first: usize,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) model: Model,
    pub(crate) stream: Stream,
    view: View,
    cursors: [Cursor; 4],
    story: Option<Story>,
    prompt: Option<Prompt>,
    filter: String,
    help: bool,
    said: Option<(String, Tone)>,
    colours: bool,
    /// How many rows there was room for last.
    room: usize,
    /// Who watches what.
    title: String,
}

impl Screen {
    /// With colours or without; `title` says who watches what.
    pub(crate) fn new(colours: bool, title: String) -> Self {
        Self {
            model: Model::default(),
            stream: Stream::Begins,
            view: View::Servers,
            cursors: Default::default(),
            story: None,
            prompt: None,
            filter: String::new(),
            help: false,
            said: None,
            colours,
            room: 20,
            title,
        }
    }

    /// The views that there are for whoever watches.
    fn views(&self) -> Vec<View> {
        let rights = &self.model.rights;
        let migrations = ["os_compute_api:os-migrations:index", "os_compute_api:servers:migrations:index"];
        let is_there = |view: &View| match view {
            View::Servers | View::Changes => true,
            View::Hosts => self.model.all_projects,
            View::Migrations => migrations.iter().any(|rule| rights.may(rule)),
        };
        View::ALL.into_iter().filter(is_there).collect()
    }

    /// The keys of a view's rows, in the order in which they are shown.
    fn rows(&self) -> Vec<String> {
        let model = &self.model;
        match self.view {
            View::Servers => {
                let wanted = self.filter.to_lowercase();
                let is_wanted = |name: &str, id: &str| name.to_lowercase().contains(&wanted) || id.starts_with(&wanted);
                let mut found: Vec<_> =
                    model.servers.values().filter(|server| is_wanted(&server.name, &server.id)).collect();
                found.sort_by(|one, other| (&one.order, &one.id).cmp(&(&other.order, &other.id)));
                found.into_iter().map(|server| server.id.clone()).collect()
            }
            View::Hosts => {
                let mut found: Vec<String> = model.hosts.keys().cloned().collect();
                found.sort_by_cached_key(|name| model::natural(name));
                found
            }
            View::Migrations => {
                let mut found: Vec<_> = model.migrations.values().collect();
                found.sort_by_key(|migration| (migration.has_ended(), -migration.id));
                found.into_iter().map(|migration| migration.uuid.clone()).collect()
            }
            View::Changes => model.changes.iter().map(|change| change.number.to_string()).collect(),
        }
    }

    fn cursor(&mut self) -> &mut Cursor {
        &mut self.cursors[self.view as usize]
    }

    /// Where the chosen row is among these; the one that took its place if it is gone.
    fn chosen_among(&self, rows: &[String]) -> Option<usize> {
        let cursor = &self.cursors[self.view as usize];
        let place = cursor.key.as_ref().and_then(|key| rows.iter().position(|row| row == key));
        place.or_else(|| rows.len().checked_sub(1).map(|last| cursor.index.min(last)))
    }

    fn choose(&mut self, index: usize) {
        let rows = self.rows();
        let Some(last) = rows.len().checked_sub(1) else { return };
        let index = index.min(last);
        // The newest event: what comes takes its place.
        let follows = self.view == View::Changes && index == 0;
        let key = (!follows).then(|| rows[index].clone());
        let cursor = self.cursor();
        (cursor.key, cursor.index) = (key, index);
    }

    /// The chosen row's key.
    fn chosen(&self) -> Option<String> {
        let mut rows = self.rows();
        let index = self.chosen_among(&rows)?;
        Some(rows.swap_remove(index))
    }

    /// What the API has answered.
    pub(crate) fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Said(text, good) => self.said = Some((text, if good { Tone::Good } else { Tone::Bad })),
            Answer::Story { request, of_server, story } => {
                let known = self.story.take().filter(|known| known.request == request);
                let chosen = known.as_ref().map_or(0, |known| known.chosen);
                let of_server = match known {
                    Some(known) if of_server.is_empty() => known.of_server,
                    _ => of_server,
                };
                let mut next = Story { request, of_server, chosen, ..Story::default() };
                match story {
                    Ok(story) => next.fill(&story["request"]),
                    Err(problem) => next.problem = Some(problem),
                }
                self.story = Some(next);
            }
        }
    }

    /// The request whose story is shown and goes on.
    pub(crate) fn story_that_goes_on(&self) -> Option<String> {
        self.story.as_ref().filter(|story| story.goes_on()).map(|story| story.request.clone())
    }
}

impl Story {
    fn fill(&mut self, story: &Value) {
        let shown = |value: &Value| printable(value.as_str().unwrap_or_default(), Lines::Joined);
        let servers = story["servers"].as_array().into_iter().flatten();
        let servers = servers.map(|server| format!("{}  {}", shown(&server["name"]), shown(&server["status"])));
        self.servers = servers.collect::<Vec<_>>().join("   ");
        self.bars = waterfall::bars(story["spans"].as_array().map_or(&[], Vec::as_slice));
        self.silent = story["silent"].as_array().into_iter().flatten().map(shown).collect();
        self.chosen = self.chosen.min(self.bars.len().saturating_sub(1));
    }
}
