//! The full-screen program: reads keys and the stream of events, asks the API, and draws what `crate::screen` says.

use std::{env, thread, time::Duration};

use anyhow::{Result, bail};
use futures_util::future::join_all;
use novella_common::{
    config::SecretUrl,
    printable::{self, Lines},
};
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self, Event as TerminalEvent, KeyEvent},
        execute,
        terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate},
    },
};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{reconnect, text};
use crate::{
    GlobalOptions,
    client::{Client, Credentials, Event},
    run::signals::StopSignals,
    screen::{Answer, Command, Rights, Screen, Stream},
};

/// News that wait to be shown. The stream is read no faster than that, and its sender keeps what is new meanwhile.
const WAITING: usize = 256;

/// How often the picture is drawn anew while the cloud changes. A key is answered at once.
const FRAME: Duration = Duration::from_millis(100);

/// How often a story that goes on is read again.
const STORY: Duration = Duration::from_millis(1500);

/// What the stream's reader tells.
enum News {
    /// The stream has begun, or goes on.
    Live {
        client: Box<Client>,
        rights: Box<Rights>,
        all_projects: bool,
    },
    Lists {
        servers: Vec<Value>,
        migrations: Vec<Value>,
    },
    Event(Event),
    Broken(String),
}

/// Gives the terminal back as it was, however this ends. A panic does so too, before it is said.
struct GivenBack;

impl Drop for GivenBack {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub(super) async fn watch(global: &GlobalOptions) -> Result<()> {
    // What is wrong at once is said on a terminal that scrolls.
    let credentials = Credentials::find(global)?;
    let client = Client::connect(&credentials).await?;
    let mut stop = StopSignals::listen()?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let (sender, mut news) = mpsc::channel(WAITING);
    tokio::spawn(follow(global.clone(), client.clone(), sender));
    // https://no-color.org
    let colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let title = format!("{}, user {}", SecretUrl::new(&credentials.auth_url), credentials.username);
    let mut terminal = ratatui::try_init()?;
    let given_back = GivenBack;
    let screen = Screen::new(colours, shown(&title));
    let outcome = tokio::select! {
        outcome = show(&mut terminal, screen, client, &mut news) => outcome,
        () = stop.next() => Ok(()),
        _ = hung_up.recv() => Ok(()),
    };
    drop(given_back);
    outcome
}

/// The keys that are pressed, and that the terminal has another size (`None`). A thread of its own waits for them.
fn keys() -> mpsc::Receiver<Option<KeyEvent>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            let told = match event {
                TerminalEvent::Key(key) => sender.blocking_send(Some(key)),
                TerminalEvent::Resize(..) => sender.blocking_send(None),
                _ => Ok(()),
            };
            if told.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Draws the screen. A terminal that can shows it once it is whole: nobody sees, or answers, half of one picture and half
/// of another.
fn draw(terminal: &mut DefaultTerminal, screen: &mut Screen) -> Result<()> {
    execute!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    let drawn = terminal.draw(|frame| screen.draw(frame)).map(drop);
    execute!(terminal.backend_mut(), EndSynchronizedUpdate)?;
    Ok(drawn?)
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut screen: Screen,
    mut client: Client,
    news: &mut mpsc::Receiver<News>,
) -> Result<()> {
    let mut keys = keys();
    let (answered, mut answers) = mpsc::channel(WAITING);
    let every = |period| {
        let mut clock = interval(period);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock
    };
    let (mut frames, mut stories) = (every(FRAME), every(STORY));
    let (mut is_drawn, mut has_news) = (false, false);
    loop {
        if !is_drawn {
            draw(terminal, &mut screen)?;
            (is_drawn, has_news) = (true, false);
        }
        let command = tokio::select! {
            key = keys.recv() => {
                is_drawn = false;
                match key {
                    Some(Some(key)) => screen.press(key),
                    Some(None) => None,
                    None => bail!("the terminal can't be read any more"),
                }
            }
            Some(answer) = answers.recv() => {
                screen.take_answer(answer);
                is_drawn = false;
                None
            }
            Some(told) = news.recv() => {
                if let News::Live { client: next, .. } = &told {
                    client = (**next).clone();
                }
                take(&mut screen, told);
                has_news = true;
                None
            }
            _ = frames.tick(), if has_news => {
                is_drawn = false;
                None
            }
            _ = stories.tick() => screen.story_that_goes_on().map(Command::Story),
        };
        match command {
            None => {}
            Some(Command::Quit) => return Ok(()),
            Some(command) => {
                let (client, answered) = (client.clone(), answered.clone());
                tokio::spawn(async move {
                    // Whoever is told may have gone.
                    let _ = answered.send(ask(&client, command).await).await;
                });
            }
        }
    }
}

fn take(screen: &mut Screen, told: News) {
    match told {
        News::Live { rights, all_projects, .. } => {
            screen.stream = Stream::Live;
            screen.model.rights = *rights;
            screen.model.all_projects = all_projects;
        }
        News::Lists { servers, migrations } => screen.model.take_lists(&servers, &migrations),
        News::Event(event) => match event.kind.as_str() {
            "stale" => screen.stream = Stream::Stale,
            "current" => screen.stream = Stream::Live,
            kind => screen.model.take_event(kind, &event.data),
        },
        News::Broken(why) => screen.stream = Stream::Broken(shown(&why)),
    }
}

/// Reads the stream for as long as somebody is told; whenever it breaks it signs in again and goes on from the last event.
async fn follow(global: GlobalOptions, mut client: Client, told: mpsc::Sender<News>) {
    let mut last_id = None;
    loop {
        let Err(error) = attend(&client, &mut last_id, &told).await;
        if told.send(News::Broken(format!("{error:#}"))).await.is_err() {
            return;
        }
        // Without a bound it goes on until it is there again.
        if let Ok(next) = reconnect(&global, false).await {
            client = next;
        }
    }
}

/// Tells of one stream until it breaks. `last_id`: from where on it is taken up, once the lists have been read.
async fn attend(
    client: &Client,
    last_id: &mut Option<String>,
    told: &mpsc::Sender<News>,
) -> Result<std::convert::Infallible> {
    let rights = Box::new(Rights::read(&client.get_of("cloud", "/rights").await?));
    let mut events = client.events(last_id.as_deref()).await?;
    let all_projects = events.all_projects;
    told.send(News::Live { client: Box::new(client.clone()), rights, all_projects }).await?;
    let mut are_read = last_id.is_some();
    loop {
        if !are_read {
            *last_id = None;
            told.send(lists(client, all_projects).await?).await?;
            are_read = true;
        }
        let event = events.next().await?;
        last_id.clone_from(&events.last_id);
        match event.kind.as_str() {
            "lost" => are_read = false,
            "end" => bail!("the token is not valid any more"),
            _ => told.send(News::Event(event)).await?,
        }
    }
}

async fn lists(client: &Client, all_projects: bool) -> Result<News> {
    let mut servers = Vec::new();
    let query = if all_projects { "all_tenants=1" } else { "" };
    client.each_server(query, &mut |server| servers.push(server.clone())).await?;
    // Not for everybody.
    let listed = client.get("/os-migrations").await.unwrap_or_default();
    let migrations = listed["migrations"].as_array().cloned().unwrap_or_default();
    Ok(News::Lists { servers, migrations })
}

async fn ask(client: &Client, command: Command) -> Answer {
    let said = |what: String, outcome: Result<Value>| match outcome {
        Ok(_) => Answer::Said(what, true),
        Err(error) => Answer::Said(why(&error), false),
    };
    match command {
        // The program's own.
        Command::Quit => Answer::Said(String::new(), true),
        Command::Story(request) => story(client, request, Vec::new()).await,
        Command::StoryOfServer(server) => match requests(client, &server).await {
            Ok(of_server) => match of_server.first().cloned() {
                Some((_, latest)) => story(client, latest, of_server).await,
                None => Answer::Said("Nothing was asked of this server that is known.".to_owned(), false),
            },
            Err(error) => Answer::Said(why(&error), false),
        },
        Command::LiveMigrate { server, name } => {
            said(format!("{name} is on its way to another host."), live_migrate(client, &server).await)
        }
        Command::Abort { server, name, migration } => {
            let gone = client.delete(&format!("/servers/{server}/migrations/{migration}")).await;
            said(format!("The live migration of {name} is undone."), gone.map(|()| Value::Null))
        }
        Command::Drain { host, service, servers } => drain(client, &host, &service, &servers).await,
        Command::Enable { host, service } => {
            let outcome = client.put(&format!("/os-services/{service}"), &json!({"status": "enabled"})).await;
            said(format!("{host} takes servers again."), outcome.map(|()| Value::Null))
        }
    }
}

async fn live_migrate(client: &Client, server: &str) -> Result<Value> {
    let body = json!({"os-migrateLive": {"host": null, "block_migration": "auto"}});
    client.post(&format!("/servers/{server}/action"), &body).await
}

/// Takes no more servers, and moves those away that run.
async fn drain(client: &Client, host: &str, service: &str, servers: &[String]) -> Answer {
    let body = json!({"status": "disabled", "disabled_reason": "drained"});
    if let Err(error) = client.put(&format!("/os-services/{service}"), &body).await {
        return Answer::Said(why(&error), false);
    }
    let moved = join_all(servers.iter().map(|server| live_migrate(client, server))).await;
    let refused: Vec<_> = moved.into_iter().filter_map(Result::err).collect();
    match refused.first() {
        None => Answer::Said(format!("{host} takes no servers any more; {} are moved.", servers.len()), true),
        Some(first) => {
            let all = servers.len();
            Answer::Said(format!("{host}: {} of {all} are not moved: {}", refused.len(), why(first)), false)
        }
    }
}

/// What was asked of a server, and by which request, the latest first.
async fn requests(client: &Client, server: &str) -> Result<Vec<(String, String)>> {
    let listed = client.get(&format!("/servers/{server}/os-instance-actions")).await?;
    let actions = listed["instanceActions"].as_array().into_iter().flatten();
    Ok(actions.map(|action| (text(&action["action"]).to_owned(), text(&action["request_id"]).to_owned())).collect())
}

async fn story(client: &Client, request: String, of_server: Vec<(String, String)>) -> Answer {
    // An id that was typed may be anything.
    let path: String = form_urlencoded::byte_serialize(request.as_bytes()).collect();
    let story = client.get_of("cloud", &format!("/requests/{path}")).await.map_err(|error| why(&error));
    Answer::Story { request: shown(&request), of_server, story }
}

fn why(error: &anyhow::Error) -> String {
    shown(&format!("{error:#}"))
}

/// On one line and without what a terminal obeys.
fn shown(text: &str) -> String {
    printable::printable(text, Lines::Joined)
}
