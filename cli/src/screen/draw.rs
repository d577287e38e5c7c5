//! A frame of the terminal: what is looked at, how current it is, and the keys that do something now.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Clear, Paragraph},
};

use super::{Prompt, Screen, Story, Stream, Tone, View, waterfall::Bar};

/// On less than this nothing can be read.
const SMALLEST: (u16, u16) = (60, 10);

/// What the keys do that are not offered for a row.
const KEYS: &[(&str, &str)] = &[
    ("up down k j", "choose a row; page up and down, home g, end G"),
    ("tab 1 2 3 4", "another view"),
    ("enter", "the story of what is chosen: who did what of it, from when to when"),
    ("left right", "in a story: the server's earlier and later requests"),
    ("esc", "back; show all servers again"),
    ("/", "show only servers whose name has this in it, or whose id begins so"),
    ("r", "the story of a request by its id, of the header x-openstack-request-id"),
    ("m", "live-migrate the chosen server to another host"),
    ("a", "abort its live migration"),
    ("d e", "drain the chosen host; let it have servers again"),
    ("q ctrl-c", "quit"),
];

impl Screen {
    /// Draws all of it.
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let text = format!("{} by {} at least, please.", SMALLEST.0, SMALLEST.1);
            frame.render_widget(Paragraph::new(text), area);
            return;
        }
        let rows = [Constraint::Length(1), Constraint::Min(3), Constraint::Length(1), Constraint::Length(1)];
        let [head, body, said, help] = Layout::vertical(rows).areas(area);
        self.draw_head(frame, head);
        if self.help {
            self.draw_help(frame, body);
        } else if let Some(story) = self.story.take() {
            self.draw_story(frame, body, &story);
            self.story = Some(story);
        } else {
            self.draw_table(frame, body);
        }
        frame.render_widget(Paragraph::new(self.bottom()), said);
        frame.render_widget(Paragraph::new(self.help_line()), help);
    }

    /// The style of something that is well or is not. Without colours what is bad is bold.
    pub(super) fn tone(&self, tone: Tone) -> Style {
        let style = Style::default();
        match tone {
            Tone::Plain => style,
            Tone::Bad if !self.colours => style.add_modifier(Modifier::BOLD),
            _ if !self.colours => style,
            Tone::Good => style.fg(Color::Green),
            Tone::Busy => style.fg(Color::Yellow),
            Tone::Bad => style.fg(Color::Red),
        }
    }

    fn faint(&self) -> Style {
        if self.colours { Style::default().fg(Color::DarkGray) } else { Style::default() }
    }

    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect) {
        let mut spans = Vec::new();
        for (number, view) in (1..).zip(self.views()) {
            let count = match view {
                View::Servers => self.model.servers.len(),
                View::Hosts => self.model.hosts.len(),
                View::Migrations => self.model.migrations.values().filter(|it| !it.has_ended()).count(),
                View::Changes => self.model.changes.len(),
            };
            let style = if view == self.view && self.story.is_none() {
                Style::default().add_modifier(Modifier::REVERSED | Modifier::BOLD)
            } else {
                Style::default()
            };
            spans.push(Span::styled(format!(" {number} {} {count} ", view.title()), style));
        }
        frame.render_widget(Paragraph::new(Line::from(spans)), area);
        let (text, tone) = match &self.stream {
            Stream::Begins => ("connecting ", Tone::Busy),
            Stream::Live => ("live ", Tone::Good),
            Stream::Stale => ("may be old ", Tone::Bad),
            Stream::Broken(_) => ("NOT CONNECTED ", Tone::Bad),
        };
        let state = Paragraph::new(Span::styled(text, self.tone(tone))).alignment(Alignment::Right);
        frame.render_widget(state, area);
    }

    fn draw_help(&self, frame: &mut Frame<'_>, area: Rect) {
        let mut lines = vec![Line::from(format!(" {}", self.title)), Line::default()];
        for (keys, what) in KEYS {
            let keys = Span::styled(format!(" {keys:<13}"), Style::default().add_modifier(Modifier::BOLD));
            lines.push(Line::from(vec![keys, Span::from(*what)]));
        }
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// What is asked or said; else what is wrong; else what is known of the chosen row.
    fn bottom(&self) -> Line<'_> {
        let bold = Style::default().add_modifier(Modifier::BOLD);
        match (&self.prompt, &self.said) {
            (Some(Prompt::Confirm(question, _)), _) => Line::styled(format!(" {question}"), bold),
            (Some(Prompt::Request(id)), _) => Line::styled(format!(" Request: {id}_"), bold),
            (Some(Prompt::Filter), _) => Line::styled(format!(" Name: {}_", self.filter), bold),
            (None, Some((text, tone))) => Line::styled(format!(" {text}"), self.tone(*tone)),
            (None, None) => match &self.stream {
                Stream::Broken(why) => {
                    Line::styled(format!(" What is shown is old. No answer: {why}; trying again"), self.tone(Tone::Bad))
                }
                Stream::Stale => {
                    Line::styled(" The cloud can't read what changes; what is shown may be old.", self.tone(Tone::Bad))
                }
                _ => Line::styled(self.about_chosen(), self.faint()),
            },
        }
    }

    fn about_chosen(&self) -> String {
        if let Some(story) = &self.story {
            let Some(bar) = story.bars.get(story.chosen) else { return String::new() };
            let fields = bar.fields.iter().map(|(name, value)| format!("  {name}: {value}")).collect::<String>();
            return format!(" {} {}  {}{fields}", bar.kind, bar.name, bar.who);
        }
        if self.view == View::Servers && !self.filter.is_empty() {
            return format!(" with '{}' in the name; esc: all", self.filter);
        }
        let Some(key) = self.chosen() else { return String::new() };
        match self.view {
            View::Servers => {
                let server = self.model.servers.get(&key);
                server.map_or_else(String::new, |it| {
                    if it.fault.is_empty() { format!(" {}", it.id) } else { format!(" {}", it.fault) }
                })
            }
            View::Hosts => self.model.hosts.get(&key).map_or_else(String::new, |host| format!(" {}", host.reason)),
            View::Migrations | View::Changes => String::new(),
        }
    }

    fn help_line(&self) -> Line<'static> {
        let mut keys: Vec<(String, &str)> = Vec::new();
        match (&self.prompt, &self.story) {
            (Some(Prompt::Confirm(..)), _) => keys.extend([("y".into(), "yes"), ("n".into(), "no")]),
            (Some(_), _) => keys.extend([("enter".into(), "done"), ("esc".into(), "never mind")]),
            (None, Some(_)) => {
                keys.extend([("↑↓".into(), "choose"), ("←→".into(), "other requests"), ("esc".into(), "back")]);
            }
            (None, None) => {
                keys.push(("tab".into(), "view"));
                if self.view != View::Hosts && self.chosen().is_some() {
                    keys.push(("enter".into(), "story"));
                }
                keys.extend(self.offers().into_iter().map(|offer| (offer.key.to_string(), offer.label)));
                if self.view == View::Servers {
                    keys.push(("/".into(), "search"));
                }
            }
        }
        if self.prompt.is_none() {
            keys.extend([("r".into(), "request"), ("?".into(), "keys"), ("q".into(), "quit")]);
        }
        let mut spans = vec![Span::from(" ")];
        for (key, what) in keys {
            spans.push(Span::styled(key, Style::default().add_modifier(Modifier::BOLD)));
            spans.push(Span::styled(format!(" {what}   "), self.faint()));
        }
        Line::from(spans)
    }

    fn draw_story(&mut self, frame: &mut Frame<'_>, area: Rect, story: &Story) {
        let mut lines = vec![
            Line::styled(format!(" {}", story.request), Style::default().add_modifier(Modifier::BOLD)),
            Line::from(format!(" {}", story.title())),
        ];
        if let Some(problem) = &story.problem {
            lines.push(Line::styled(format!(" {problem}"), self.tone(Tone::Bad)));
        }
        let silent = usize::from(!story.silent.is_empty());
        self.room = usize::from(area.height).saturating_sub(lines.len() + silent).max(1);
        let first = (story.chosen + 1).saturating_sub(self.room);
        let width = usize::from(area.width);
        for (index, bar) in story.bars.iter().enumerate().skip(first).take(self.room) {
            lines.push(self.bar(bar, width, index == story.chosen));
        }
        if silent == 1 {
            let text = format!(" no answer from {}: what they have done is missing", story.silent.join(", "));
            lines.push(Line::styled(text, self.tone(Tone::Bad)));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// A span on its line: its name, the bar, how long it took.
    fn bar(&self, bar: &Bar, width: usize, chosen: bool) -> Line<'static> {
        const TIME: usize = 10;
        let names = (width * 45 / 100).max(24);
        let track = width.saturating_sub(names + TIME + 3).max(4);
        let name = format!("{}{}  {}", "  ".repeat(bar.depth.min(8)), bar.name, bar.who);
        let (from, to) = bar.place(track);
        let drawn = format!("{}{}{}", " ".repeat(from), "█".repeat(to - from), " ".repeat(track - to));
        let colour = match bar.kind.as_str() {
            _ if bar.failed => Some(Color::Red),
            "queue" => Some(Color::Yellow),
            "event" => Some(Color::Green),
            "owner" => Some(Color::Magenta),
            "message" | "handler" => Some(Color::Blue),
            _ => None,
        };
        let style = colour.filter(|_| self.colours).map_or_else(Style::default, |colour| Style::default().fg(colour));
        let mark = if chosen { Style::default().add_modifier(Modifier::REVERSED) } else { Style::default() };
        let failed = if bar.failed { "!" } else { " " };
        Line::from(vec![
            Span::styled(format!("{failed}{}", fitted(&name, names)), mark),
            Span::styled(format!(" {drawn} "), style),
            Span::from(format!("{:>TIME$}", bar.duration())),
        ])
    }
}

impl Story {
    /// Which request of the server it is, and how its servers are.
    fn title(&self) -> String {
        let place = self.of_server.iter().position(|(_, request)| *request == self.request);
        let which = place.map_or_else(String::new, |place| {
            let (action, _) = &self.of_server[place];
            format!("{action}, request {} of {}   ", self.of_server.len() - place, self.of_server.len())
        });
        let end = if self.bars.is_empty() && self.problem.is_none() {
            "is read …"
        } else if self.goes_on() {
            "   goes on"
        } else {
            ""
        };
        format!("{which}{}{end}", self.servers)
    }
}

/// So wide, whatever it holds.
pub(super) fn fitted(text: &str, width: usize) -> String {
    console::pad_str(text, width, console::Alignment::Left, Some("…")).into_owned()
}
