//! `novella watch` on the whole terminal: what is drawn of a real cloud's events, and the program itself in a real terminal.

use std::process::Command;

use ratatui::{
    Terminal as Drawn,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};
use serde_json::{Value, json};

use crate::{
    page::make_reader,
    screen::{Command as Asked, Rights, Screen, Stream},
    support::{
        client::Client,
        cloud::{Cloud, PASSWORD, Settings},
        process::novella,
        terminal::{COLUMNS, ROWS, Terminal},
    },
};

/// A migration that takes some seconds.
fn slow_copies() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "100".into()),
            ("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "20".into()),
        ],
        ..Settings::default()
    }
}

/// A screen that is kept up by a cloud's stream of events.
struct Watched {
    screen: Screen,
    stream: reqwest::Response,
    buffer: String,
    columns: u16,
}

impl Watched {
    async fn begin(cloud: &Cloud, client: &Client, query: &str) -> Self {
        let ask = async |path: &str| {
            let url = format!("{}/cloud/v1{path}", cloud.endpoint);
            let answer = reqwest::Client::new().get(url).header("x-auth-token", client.token_text()).send().await;
            let answer = answer.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer
        };
        let mut screen = Screen::new(true, "a test".to_owned());
        screen.model.rights = Rights::read(&ask("/rights").await.json().await.unwrap());
        screen.model.all_projects = !query.is_empty();
        screen.stream = Stream::Live;
        Self { screen, stream: ask(&format!("/events{query}")).await, buffer: String::new(), columns: COLUMNS }
    }

    /// Takes events until the picture is so.
    async fn until(&mut self, holds: impl Fn(&str) -> bool) -> String {
        loop {
            let picture = self.picture();
            if holds(&picture) {
                return picture;
            }
            let waited = tokio::time::timeout(crate::support::cloud::LIMIT, self.stream.chunk()).await;
            let part = waited.unwrap_or_else(|_| panic!("{picture}")).unwrap().expect("the stream has ended");
            self.buffer.push_str(std::str::from_utf8(&part).unwrap());
            while let Some(end) = self.buffer.find("\n\n") {
                let frame: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                    self.screen.model.take_event(kind, &serde_json::from_str(data).unwrap());
                }
            }
        }
    }

    fn drawn(&mut self) -> Drawn<TestBackend> {
        let mut terminal = Drawn::new(TestBackend::new(self.columns, ROWS)).unwrap();
        terminal.draw(|frame| self.screen.draw(frame)).unwrap();
        terminal
    }

    /// The lines as they are drawn.
    fn picture(&mut self) -> String {
        let terminal = self.drawn();
        let buffer = terminal.backend().buffer();
        let row = |y: u16| (0..self.columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..ROWS).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }

    fn press(&mut self, code: KeyCode) -> Option<Asked> {
        self.screen.press(KeyEvent::new(code, KeyModifiers::NONE))
    }
}

fn line_of<'p>(picture: &'p str, text: &str) -> &'p str {
    picture.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no '{text}' in\n{picture}"))
}

async fn a_clouds_events_are_drawn_and_what_may_be_done_is_offered(cloud: Cloud) {
    let client = cloud.client().await;
    let mut watched = Watched::begin(&cloud, &client, "?all_projects=1").await;
    assert!(watched.picture().contains("There is no server yet"));
    let id = client.create("drawn", json!({})).await;
    let picture = watched.until(|picture| picture.contains("ACTIVE") && picture.contains("Hosts 3")).await;
    let host = client.host_of(&id).await;
    assert!(line_of(&picture, "drawn").contains(&host), "{picture}");
    assert!(picture.starts_with(" 1 Servers 1  2 Hosts 3  3 Migrations 0  4 Events"), "{picture}");
    let help = picture.lines().last().unwrap();
    assert!(help.contains("m live-migrate") && !help.contains("abort"), "{help}");
    assert_eq!(watched.press(KeyCode::Enter), Some(Asked::StoryOfServer(id.clone())));

    // On its way: how far, where to, and that it can be undone.
    let asked = watched.press(KeyCode::Char('m'));
    assert_eq!(asked, Some(Asked::LiveMigrate { server: id.clone(), name: "drawn".into() }));
    client.live_migrate(&id, None).await;
    watched.press(KeyCode::Char('3'));
    let picture = watched.until(|picture| picture.contains("running") && picture.contains('█')).await;
    let line = line_of(&picture, "drawn");
    assert!(line.contains(&format!("{host} > host-")) && line.contains(" %") && line.contains("MiB"), "{picture}");
    assert!(picture.lines().last().unwrap().contains("a abort"), "{picture}");
    assert_eq!(watched.press(KeyCode::Char('a')), None);
    assert!(watched.picture().contains("Abort the live migration of drawn?"));
    let Some(Asked::Abort { server, .. }) = watched.press(KeyCode::Char('y')) else { panic!("no abort") };
    assert_eq!(server, id);
    let picture = watched.until(|picture| picture.contains("completed")).await;
    assert!(!picture.lines().last().unwrap().contains("abort"), "{picture}");
    let Some(Asked::Story(request)) = watched.press(KeyCode::Enter) else { panic!("no story") };
    assert!(request.starts_with("req-"), "{request}");

    // A host that is drained moves what runs on it.
    watched.press(KeyCode::Char('1'));
    watched.until(|picture| line_of(picture, "drawn").contains("ACTIVE") && !picture.contains("migrating")).await;
    let host = client.host_of(&id).await;
    watched.press(KeyCode::Char('2'));
    watched.until(|picture| line_of(picture, &host).trim_end().ends_with(" 1")).await;
    while !watched.picture().contains("drain") || !chosen(&mut watched).contains(&host) {
        watched.press(KeyCode::Down);
    }
    watched.press(KeyCode::Char('d'));
    assert!(watched.picture().contains("1 that run are live-migrated"), "{}", watched.picture());
    let Some(Asked::Drain { host: drained, service, servers }) = watched.press(KeyCode::Char('y')) else {
        panic!("no drain")
    };
    assert_eq!((drained, servers), (host.clone(), vec![id.clone()]));
    let body = json!({"status": "disabled"});
    let put = reqwest::Client::new()
        .put(format!("{}/compute/v2.1/os-services/{service}", cloud.endpoint))
        .header("x-auth-token", client.token_text())
        .header("openstack-api-version", "compute 2.53")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(put.status().is_success(), "{}", put.status());
    let picture = watched.until(|picture| picture.contains("disabled")).await;
    assert!(picture.lines().last().unwrap().contains("e enable"), "{picture}");

    // All of it, one after the other.
    watched.press(KeyCode::Char('4'));
    let picture = watched.picture();
    for text in ["ACTIVE", "live-migration", "completed"] {
        assert!(picture.contains(text), "{picture}");
    }

    // Its colours say nothing that is not in the text.
    assert!(watched.drawn().backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset));
    let mut plain = Screen::new(false, "a test".to_owned());
    std::mem::swap(&mut plain.model, &mut watched.screen.model);
    watched.screen = plain;
    let cells = watched.drawn();
    assert!(cells.backend().buffer().content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

/// The line that the cursor is on.
fn chosen(watched: &mut Watched) -> String {
    let terminal = watched.drawn();
    let buffer = terminal.backend().buffer();
    let is_chosen = |y: &u16| buffer[(0, *y)].modifier.contains(ratatui::style::Modifier::REVERSED);
    let y = (1..ROWS).find(is_chosen).expect("a chosen row");
    (0..watched.columns).map(|x| buffer[(x, y)].symbol()).collect()
}

behaviours! { slow_copies(); a_clouds_events_are_drawn_and_what_may_be_done_is_offered }

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_is_offered_nothing_and_what_users_say_is_not_obeyed() {
    const HOSTILE: &str = "\u{1b}[2J\u{9b}2J\r\nall is well";
    let cloud = Cloud::embedded(Settings::default()).await;
    let admin = cloud.client().await;
    make_reader(&cloud).await;
    let reader = cloud.client_of("looker", "admin").await;
    let mut watched = Watched::begin(&cloud, &reader, "").await;
    admin.create("theirs", json!({})).await;
    let picture = watched.until(|picture| picture.contains("ACTIVE")).await;
    assert!(picture.starts_with(" 1 Servers 1  2 Events"), "{picture}");
    for missing in ["Hosts", "HOST", "host-", "live-migrate"] {
        assert!(!picture.contains(missing), "{missing}: {picture}");
    }
    assert_eq!(watched.press(KeyCode::Char('m')), None);
    assert!(!watched.picture().contains("yes"));

    // As wide as the whole of it needs.
    watched.columns = 200;
    admin.create("broken", json!({ "fake:build_seconds": HOSTILE })).await;
    let picture = watched.until(|picture| picture.contains("ERROR")).await;
    assert!(!picture.contains('\u{1b}') && !picture.contains('\u{9b}'), "{picture:?}");
    watched.press(KeyCode::Home);
    while !chosen(&mut watched).contains("broken") {
        watched.press(KeyCode::Down);
    }
    assert!(watched.until(|picture| picture.contains(r"\u001b[2J")).await.contains(r"\u009b2J"));
    watched.press(KeyCode::Char('2'));
    let picture = watched.picture();
    assert!(picture.contains(r"\u001b[2J") && !picture.contains('\u{1b}'), "{picture:?}");

    // A thousand names, and those are found that are looked for.
    let many: Vec<Value> = (0..1000)
        .map(|number| json!({"id": format!("{number:04}"), "name": format!("many-{number}"), "status": "ACTIVE"}))
        .collect();
    watched.screen.model.take_lists(&many, &[]);
    watched.press(KeyCode::Char('1'));
    watched.press(KeyCode::End);
    assert!(chosen(&mut watched).contains("many-999"));
    watched.press(KeyCode::Char('/'));
    for character in "many-317".chars() {
        watched.press(KeyCode::Char(character));
    }
    watched.press(KeyCode::Enter);
    let picture = watched.picture();
    assert_eq!(picture.lines().filter(|line| line.contains("many-")).count(), 2, "{picture}");
}

/// `novella watch`, as the administrator.
fn watch(cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = novella();
    command.arg("watch").args(arguments).env("OS_AUTH_URL", format!("{}/identity/v3", cloud.endpoint));
    for (name, value) in [("USERNAME", "admin"), ("PASSWORD", PASSWORD), ("PROJECT_NAME", "admin")] {
        command.env(format!("OS_{name}"), value);
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_a_server_is_seen_moved_and_understood_and_the_terminal_given_back() {
    let mut cloud = Cloud::embedded(slow_copies()).await;
    let client = cloud.client().await;
    let mut terminal = Terminal::start(&watch(&cloud, &[]));
    terminal.see("There is no server yet").await;
    terminal.see("live").await;
    let id = client.create("watched", json!({})).await;
    terminal.see_that("watched is ACTIVE", |shown| shown.contains("watched") && shown.contains("ACTIVE")).await;

    // Its story, from the request to the host.
    terminal.press("\r");
    terminal.see("POST /compute/v2.1/servers").await;
    terminal.see("build_and_run_instance").await;
    terminal.see("create, request 1 of 1").await;
    terminal.press("\u{1b}");
    terminal.see("live-migrate").await;

    // Moved by a key, and undone by another.
    terminal.press("m");
    terminal.see("a abort").await;
    terminal.press("ay");
    terminal.see("is undone").await;
    client.wait_for_status(&id, "ACTIVE").await;
    terminal.press("3");
    terminal.see("cancelled").await;

    // A host that it is not on is drained, and let in again.
    let (empty, keys) = if client.host_of(&id).await == "host-1" { ("host-2", "2jd") } else { ("host-1", "2d") };
    terminal.press(keys);
    terminal.see(&format!("Drain {empty}?")).await;
    terminal.press("y");
    terminal.see(&format!("{empty} takes no servers any more")).await;
    terminal.see("disabled").await;
    terminal.press("e");
    terminal.see(&format!("{empty} takes servers again")).await;
    terminal.see_that("no disabled host", |shown| !shown.contains("disabled")).await;
    terminal.press("1");

    // What breaks is said, and what was missed is made up for.
    cloud.process("up").kill();
    terminal.see("NOT CONNECTED").await;
    terminal.see("What is shown is old").await;
    cloud.process("up").restart();
    cloud.wait_until_ready().await;
    cloud.client().await.create("meanwhile", json!({})).await;
    terminal.see("meanwhile").await;
    terminal.see_that("live", |shown| shown.contains("live") && !shown.contains("NOT CONNECTED")).await;

    terminal.press("q");
    assert!(terminal.end().success());
    terminal.assert_given_back().await;

    // Also where it is ended from outside.
    let mut terminal = Terminal::start(&watch(&cloud, &[]));
    terminal.see("watched").await;
    assert!(Command::new("kill").arg(terminal.id().to_string()).status().unwrap().success());
    assert!(terminal.end().success());
    terminal.assert_given_back().await;

    // Whoever asks for lines gets lines, and their status.
    let mut terminal = Terminal::start(&watch(&cloud, &["--until-idle"]));
    assert!(terminal.end().success());
    terminal.see_last("user admin").await;
}
