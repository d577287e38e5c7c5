//! The rows of each view. Of a thousand rows those are made that there is room for.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Modifier, Style},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::{
    Screen, Stream, Tone, View,
    model::{Host, Migration, Server},
};

/// A row's cells.
type Cells = Vec<(String, Tone)>;

fn plain(text: impl Into<String>) -> (String, Tone) {
    (text.into(), Tone::Plain)
}

impl Screen {
    pub(super) fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.rows();
        let room = usize::from(area.height).saturating_sub(1).max(1);
        self.room = room;
        let chosen = self.chosen_among(&rows);
        if let Some(index) = chosen {
            let cursor = self.cursor();
            cursor.index = index;
            // No further than it must be, so that rows stay where they are.
            cursor.first = cursor.first.min(index).max((index + 1).saturating_sub(room));
        }
        let first = self.cursor().first.min(rows.len().saturating_sub(room));
        self.cursor().first = first;
        if rows.is_empty() {
            frame.render_widget(Paragraph::new(format!("\n {}", self.nothing())), area);
            return;
        }
        let (titles, widths) = self.columns(area.width);
        let shown = rows.iter().enumerate().skip(first).take(room).map(|(index, key)| {
            let cells = self.cells(key, area.width);
            let cells = cells.into_iter().map(|(text, tone)| Cell::from(text).style(self.tone(tone)));
            let mark = if Some(index) == chosen { Modifier::REVERSED } else { Modifier::empty() };
            Row::new(cells).style(Style::default().add_modifier(mark))
        });
        let head = Row::new(titles).style(Style::default().add_modifier(Modifier::BOLD));
        frame.render_widget(Table::new(shown, widths).header(head).column_spacing(1), area);
    }

    fn nothing(&self) -> &'static str {
        match (&self.stream, self.view) {
            (Stream::Begins, _) => "Reading what there is …",
            (_, View::Servers) if !self.filter.is_empty() => "No server is called so; esc: all.",
            (_, View::Servers) => "There is no server yet.",
            (_, View::Hosts) => "There is no host. Start one: novella compute.",
            (_, View::Migrations) => "Nothing moves.",
            (_, View::Changes) => "Nothing has changed since this was started.",
        }
    }

    fn columns(&self, width: u16) -> (Vec<&'static str>, Vec<Constraint>) {
        use Constraint::{Fill, Length};
        match self.view {
            View::Servers if self.model.all_projects => (
                vec!["NAME", "STATUS", "TASK", "HOST", "ADDRESS"],
                vec![Fill(1), Length(13), Length(20), Length(12), Length(15)],
            ),
            View::Servers => {
                (vec!["NAME", "STATUS", "TASK", "ADDRESS"], vec![Fill(1), Length(13), Length(20), Length(15)])
            }
            View::Hosts => (
                vec!["HOST", "STATE", "vCPUS", "MEMORY GiB", "DISK GiB", "SERVERS"],
                vec![Fill(1), Length(9), Length(15), Length(17), Length(15), Length(7)],
            ),
            View::Migrations if width >= 100 => (
                vec!["SERVER", "FROM, TO", "STATUS", "COPIED", "LEFT", "COPIED/s", "WRITTEN/s"],
                vec![Fill(1), Length(20), Length(14), Length(20), Length(9), Length(9), Length(9)],
            ),
            View::Migrations => (
                vec!["SERVER", "FROM, TO", "STATUS", "COPIED", "LEFT", "WRITTEN/s"],
                vec![Fill(1), Length(17), Length(14), Length(15), Length(8), Length(9)],
            ),
            View::Changes => (vec!["TIME", "WHAT", "NOW"], vec![Length(8), Length(24), Fill(1)]),
        }
    }

    fn cells(&self, key: &str, width: u16) -> Cells {
        match self.view {
            View::Servers => self.model.servers.get(key).map(|it| self.server(it)),
            View::Hosts => self.model.hosts.get(key).map(host),
            View::Migrations => self.model.migrations.get(key).map(|it| self.migration(it, width >= 100)),
            View::Changes => {
                let change = self.model.changes.iter().find(|change| change.number.to_string() == key);
                change.map(|it| vec![plain(&it.time), plain(&it.what), (it.text.clone(), it.tone)])
            }
        }
        .unwrap_or_default()
    }

    fn server(&self, server: &Server) -> Cells {
        let task = match self.model.migration_of(&server.id) {
            Some(migration) if migration.total > 0 => format!("{} {} %", server.task, migration.part()),
            _ => server.task.clone(),
        };
        let mut cells = vec![plain(&server.name), (server.status.clone(), Tone::of(&server.status)), plain(task)];
        if self.model.all_projects {
            cells.push(plain(&server.host));
        }
        cells.push(plain(&server.address));
        cells
    }

    fn migration(&self, migration: &Migration, wide: bool) -> Cells {
        let to = if migration.to.is_empty() { "?" } else { &migration.to };
        let way = if migration.from.is_empty() { String::new() } else { format!("{} > {to}", migration.from) };
        let part = migration.part();
        let (copied, written) = migration.rate.filter(|_| migration.status == "running").unzip();
        let each = |bytes: Option<i64>| plain(bytes.map(size).unwrap_or_default());
        let mut cells = vec![
            plain(self.model.name(&migration.server)),
            plain(way),
            (migration.status.clone(), Tone::of(&migration.status)),
            plain(format!("{} {part:>3} %", gauge(part, if wide { 14 } else { 9 }))),
            each(Some(migration.remaining).filter(|_| migration.total > 0 && !migration.has_ended())),
        ];
        if wide {
            cells.push(each(copied));
        }
        cells.push(each(written));
        cells
    }
}

fn host(host: &Host) -> Cells {
    let state = if host.status == "disabled" && host.state == "up" { &host.status } else { &host.state };
    let load = |(used, capacity): (i64, i64), unit: i64| {
        let part = if capacity > 0 { used * 100 / capacity } else { 0 };
        let text = format!("{} {}/{}", gauge(part, 7), used / unit, capacity / unit);
        (text, if part > 90 { Tone::Busy } else { Tone::Plain })
    };
    vec![
        plain(&host.name),
        (state.clone(), Tone::of(state)),
        load(host.vcpus, 1),
        load(host.memory_mib, 1024),
        load(host.disk_gib, 1),
        plain(host.servers.to_string()),
    ]
}

/// A part, in per cent, as a bar.
fn gauge(part: i64, width: usize) -> String {
    let full = usize::try_from(part.clamp(0, 100)).unwrap_or(0) * width / 100;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// Bytes in words.
fn size(bytes: i64) -> String {
    match bytes / (1 << 20) {
        0 => format!("{} KiB", bytes / (1 << 10)),
        mib @ ..10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib / 1024),
    }
}
