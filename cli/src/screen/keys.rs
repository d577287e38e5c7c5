//! What keys do. What can be asked of the chosen row is listed once, in `offers`: the help line shows that list, and a key
//! that is not on it does nothing.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Command, Prompt, Screen, View};

/// Something that a key asks for.
pub(super) struct Offer {
    pub(super) key: char,
    pub(super) label: &'static str,
    command: Command,
    /// What is asked before it is done.
    question: Option<String>,
}

impl Screen {
    /// What may be done about the chosen row, by whoever watches and in its state.
    pub(super) fn offers(&self) -> Vec<Offer> {
        let Some(key) = self.chosen().filter(|_| self.story.is_none()) else { return Vec::new() };
        match self.view {
            View::Servers => self.offers_for_server(&key),
            View::Migrations => {
                let migration = self.model.migrations.get(&key);
                migration.map(|it| self.abort(&it.server)).into_iter().flatten().collect()
            }
            View::Hosts => self.offers_for_host(&key),
            View::Changes => Vec::new(),
        }
    }

    fn offers_for_server(&self, id: &str) -> Vec<Offer> {
        let Some(server) = self.model.servers.get(id) else { return Vec::new() };
        let mut offers = Vec::new();
        if self.model.rights.offers("os-migrateLive", server) {
            let command = Command::LiveMigrate { server: server.id.clone(), name: server.name.clone() };
            offers.push(Offer { key: 'm', label: "live-migrate", command, question: None });
        }
        offers.extend(self.abort(id));
        offers
    }

    /// To undo the live migration of a server.
    fn abort(&self, server: &str) -> Option<Offer> {
        let migration = self.model.migration_of(server)?;
        let may = self.model.rights.may("os_compute_api:servers:migrations:delete");
        let abortable = migration.status == "running";
        if !may || !abortable || migration.kind != "live-migration" {
            return None;
        }
        let name = self.model.name(server);
        let question = Some(format!("Abort the live migration of {name}?"));
        let command = Command::Abort { server: server.to_owned(), name, migration: migration.id };
        Some(Offer { key: 'a', label: "abort", command, question })
    }

    fn offers_for_host(&self, name: &str) -> Vec<Offer> {
        let may = self.model.rights.may("os_compute_api:os-services:update");
        let Some(host) = self.model.hosts.get(name).filter(|_| may) else { return Vec::new() };
        let (host_name, service) = (host.name.clone(), host.service.clone());
        if host.status == "disabled" {
            let command = Command::Enable { host: host_name, service };
            return vec![Offer { key: 'e', label: "enable", command, question: None }];
        }
        let rights = &self.model.rights;
        let on_it = self.model.servers.values().filter(|server| server.host == name);
        let moved = on_it.filter(|server| server.task.is_empty() && rights.offers("os-migrateLive", server));
        let servers: Vec<String> = moved.map(|server| server.id.clone()).collect();
        let question =
            format!("Drain {name}? No new servers, and {} that run are live-migrated to others.", servers.len());
        let command = Command::Drain { host: host_name, service, servers };
        vec![Offer { key: 'd', label: "drain", command, question: Some(question) }]
    }

    /// What a key asks for, beyond what it changes on the screen.
    pub(crate) fn press(&mut self, key: KeyEvent) -> Option<Command> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Command::Quit);
        }
        self.said = None;
        if self.help {
            self.help = false;
            return None;
        }
        if let Some(prompt) = self.prompt.take() {
            return self.answer(prompt, key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Some(Command::Quit),
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('r') => self.prompt = Some(Prompt::Request(String::new())),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-isize::try_from(self.room).unwrap_or(1)),
            KeyCode::PageDown => self.step(isize::try_from(self.room).unwrap_or(1)),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            code if self.story.is_some() => return self.press_in_story(code),
            code => return self.press_in_view(code),
        }
        None
    }

    fn press_in_story(&mut self, code: KeyCode) -> Option<Command> {
        let further = match code {
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Char('h') => {
                self.story = None;
                return None;
            }
            KeyCode::Left | KeyCode::Char('[') => 1,
            KeyCode::Right | KeyCode::Char(']') => -1,
            _ => return None,
        };
        // Another request of the same server: to the left the earlier one.
        let story = self.story.as_ref()?;
        let here = story.of_server.iter().position(|(_, request)| *request == story.request)?;
        let (_, request) = story.of_server.get(here.checked_add_signed(further)?)?.clone();
        let of_server = story.of_server.clone();
        self.story = Some(super::Story { request: request.clone(), of_server, ..super::Story::default() });
        Some(Command::Story(request))
    }

    fn press_in_view(&mut self, code: KeyCode) -> Option<Command> {
        let views = self.views();
        let here = views.iter().position(|view| *view == self.view).unwrap_or(0);
        match code {
            KeyCode::Tab | KeyCode::Right => self.view = views[(here + 1) % views.len()],
            KeyCode::BackTab | KeyCode::Left => self.view = views[(here + views.len() - 1) % views.len()],
            KeyCode::Char(digit @ '1'..='9') => {
                let index = usize::from(digit as u8 - b'1');
                self.view = views.get(index).copied().unwrap_or(self.view);
            }
            KeyCode::Char('/') if self.view == View::Servers => self.prompt = Some(Prompt::Filter),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Enter => return self.open(),
            KeyCode::Char(key) => {
                let offer = self.offers().into_iter().find(|offer| offer.key == key)?;
                match offer.question {
                    None => return Some(offer.command),
                    Some(question) => self.prompt = Some(Prompt::Confirm(question, offer.command)),
                }
            }
            _ => {}
        }
        None
    }

    /// The story of what is chosen. On a host there is none: its servers are shown.
    fn open(&mut self) -> Option<Command> {
        let key = self.chosen()?;
        match self.view {
            View::Servers => Some(Command::StoryOfServer(key)),
            View::Migrations => {
                let migration = self.model.migrations.get(&key)?;
                // A list does not say to which request a migration belongs.
                Some(if migration.request.is_empty() {
                    Command::StoryOfServer(migration.server.clone())
                } else {
                    Command::Story(migration.request.clone())
                })
            }
            View::Changes => {
                let change = self.model.changes.iter().find(|change| change.number.to_string() == key)?;
                let of_server = change.server.clone().map(Command::StoryOfServer);
                change.request.clone().map(Command::Story).or(of_server)
            }
            View::Hosts => None,
        }
    }

    /// Goes on with a question.
    fn answer(&mut self, prompt: Prompt, code: KeyCode) -> Option<Command> {
        match (prompt, code) {
            (Prompt::Confirm(_, command), KeyCode::Char('y') | KeyCode::Enter) => return Some(command),
            (Prompt::Request(id), KeyCode::Enter) => {
                return Some(id.trim().to_owned()).filter(|id| !id.is_empty()).map(Command::Story);
            }
            (Prompt::Request(mut id), KeyCode::Char(character)) => {
                id.push(character);
                self.prompt = Some(Prompt::Request(id));
            }
            (Prompt::Request(mut id), KeyCode::Backspace) => {
                id.pop();
                self.prompt = Some(Prompt::Request(id));
            }
            (Prompt::Filter, KeyCode::Char(character)) => {
                self.filter.push(character);
                self.prompt = Some(Prompt::Filter);
            }
            (Prompt::Filter, KeyCode::Backspace) => {
                self.filter.pop();
                self.prompt = Some(Prompt::Filter);
            }
            (Prompt::Filter, KeyCode::Esc) => self.filter.clear(),
            // Anything else is no.
            _ => {}
        }
        None
    }

    fn step(&mut self, by: isize) {
        if let Some(story) = &mut self.story {
            let last = story.bars.len().saturating_sub(1);
            story.chosen = story.chosen.saturating_add_signed(by).min(last);
            return;
        }
        let index = self.chosen_among(&self.rows()).unwrap_or(0);
        self.choose(index.saturating_add_signed(by));
    }
}
