//! `--hostile`: what healthy clients are answered, and when, beside clients that try to stop the cloud.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    deployment::{Deployment, on_new_cloud},
    environment::Shape,
    load,
    report::Column,
};
use crate::{client::Client, run::listener::raise_file_limit};

/// How long healthy clients are measured.
const PERIOD: Duration = Duration::from_secs(8);
/// How long an attack has gone on before.
const BEFORE: Duration = Duration::from_secs(2);
/// How many healthy clients there are.
const HEALTHY: usize = 8;
/// How long each rests after a round, so that the machine is not full of them alone.
const REST: Duration = Duration::from_millis(20);

/// What attackers do.
#[derive(Clone, Copy)]
enum Attack {
    Bodies,
    Silence,
    Guesses,
    /// Needs a host that can be made to hang.
    Consoles,
}

impl Attack {
    const ALL: [Self; 4] = [Self::Bodies, Self::Silence, Self::Guesses, Self::Consoles];

    const fn name(self) -> &'static str {
        match self {
            Self::Bodies => "700 log-ins whose body does not end",
            Self::Silence => "1,100 connections that send no request",
            Self::Guesses => "100 connections that guess passwords",
            Self::Consoles => "600 requests that wait for a host that hangs",
        }
    }
}

/// What healthy clients met.
struct Met {
    list: Histogram<u64>,
    log_in: Histogram<u64>,
    answered: usize,
    refused: usize,
}

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(super) async fn measure(shape: &Shape, column: &mut Column) -> Result<()> {
    raise_file_limit();
    on_new_cloud(shape, 3, 1, async |cloud| {
        let client = cloud.client().await?;
        let server = load::boot_one(&client, &load::Template::find(&client).await?).await?.id;
        eprintln!("{}: healthy clients by themselves", shape.name());
        met(column, "no attack", &healthy(cloud, &client).await?);
        for attack in Attack::ALL {
            // The hosts of the embedded cloud are in the API's own process: they can't hang by themselves.
            if matches!(attack, Attack::Consoles) && !cloud.freeze("compute").await? {
                continue;
            }
            eprintln!("{}: {}", shape.name(), attack.name());
            let mut attackers = begin(attack, cloud, &client, &server)?;
            tokio::time::sleep(BEFORE).await;
            let figures = healthy(cloud, &client).await;
            attackers.shutdown().await;
            met(column, attack.name(), &figures?);
        }
        cloud.thaw("compute").await
    })
    .await
}

fn met(column: &mut Column, beside: &str, met: &Met) {
    column.percentiles(&format!("GET /servers, {beside}"), &met.list);
    column.percentiles(&format!("log-in on a new connection, {beside}"), &met.log_in);
    column.count(&format!("refused, {beside}"), met.refused, met.answered + met.refused);
}

/// Lets healthy clients list on a kept connection, and log in on a new one.
async fn healthy(cloud: &Deployment, client: &Client) -> Result<Met> {
    let until = Instant::now() + PERIOD;
    let rounds = (0..HEALTHY).map(async |_| {
        let mut met = Met { list: load::histogram()?, log_in: load::histogram()?, answered: 0, refused: 0 };
        while Instant::now() < until {
            let begun = Instant::now();
            let listed = client.read_of("compute", "/servers?limit=1").await;
            met.list.record(load::micros(begun.elapsed()))?;
            let begun = Instant::now();
            let logged_in = cloud.client().await;
            met.log_in.record(load::micros(begun.elapsed()))?;
            let answered = usize::from(listed.is_ok()) + usize::from(logged_in.is_ok());
            met.answered += answered;
            met.refused += 2 - answered;
            tokio::time::sleep(REST).await;
        }
        anyhow::Ok(met)
    });
    let mut all = futures_util::future::try_join_all(rounds).await?.into_iter();
    let mut sum = all.next().context("there is a healthy client")?;
    for met in all {
        sum.list.add(met.list)?;
        sum.log_in.add(met.log_in)?;
        sum.answered += met.answered;
        sum.refused += met.refused;
    }
    Ok(sum)
}

/// Attacks until what is returned is dropped.
fn begin(attack: Attack, cloud: &Deployment, client: &Client, server: &str) -> Result<JoinSet<()>> {
    let mut attackers = JoinSet::new();
    let address = cloud.endpoint.strip_prefix("http://").context("the cloud speaks plain HTTP")?.to_owned();
    match attack {
        Attack::Bodies => {
            for _ in 0..700 {
                attackers.spawn(connections(address.clone(), UNFINISHED));
            }
        }
        Attack::Silence => {
            for number in 0..1100 {
                attackers.spawn(connections(address.clone(), ["", "GET /compute/v2.1/ser"][number % 2]));
            }
        }
        Attack::Guesses => {
            for number in 0..100 {
                attackers.spawn(guesses(format!("{}/identity/v3/auth/tokens", cloud.endpoint), number));
            }
        }
        Attack::Consoles => {
            for _ in 0..600 {
                attackers.spawn(consoles(client.clone(), format!("/servers/{server}/action")));
            }
        }
    }
    Ok(attackers)
}

const UNFINISHED: &str = "POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/json\r\n\
    Content-Length: 1000\r\n\r\n{";

/// After how long a request comes again that was refused at a host that hangs.
const AGAIN: Duration = Duration::from_secs(1);

/// A moment that an attacker rests where it is not let in at all.
async fn rest() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Sends this and no more, and comes again whenever it was cut off.
async fn connections(address: String, text: &'static str) {
    loop {
        let Ok(mut stream) = TcpStream::connect(&address).await else {
            rest().await;
            continue;
        };
        let mut answer = Vec::new();
        if stream.write_all(text.as_bytes()).await.is_ok() {
            // Whatever it says, and however it ends.
            let _ = stream.read_to_end(&mut answer).await;
        }
    }
}

async fn guesses(url: String, number: usize) {
    let http = reqwest::Client::new();
    let domain = json!({ "id": "default" });
    let user = |guess: usize| -> Value {
        json!({ "name": format!("user-{}", number % 10), "domain": domain, "password": format!("guess {guess}") })
    };
    for guess in 0.. {
        let body = json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": user(guess) } } } });
        if http.post(&url).json(&body).send().await.is_err() {
            rest().await;
        }
    }
}

async fn consoles(client: Client, path: String) {
    let console = json!({ "os-getConsoleOutput": {} });
    loop {
        // Who is refused comes again soon: there are always as many that wait as may.
        if client.post(&path, &console).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
