//! Clients that try to stop a cloud, each against real processes; healthy clients beside them get their answers. What an
//! attack costs them in time, at full scale, `novella bench --hostile` says.

use std::net::SocketAddr;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, free_address, wait_for},
    process::novella,
};

/// How many requests the API works on at once in these tests. An attack has more of them.
const PLACES: usize = 16;
/// How many files the process with the API may open, where connections are attacked.
const FILES: u32 = 256;
/// How often each healthy client makes its round while an attack goes on.
const ROUNDS: usize = 8;

fn few_permits() -> Settings {
    let environment = vec![
        ("NOVELLA_API__MAX_IN_FLIGHT", PLACES.to_string()),
        ("NOVELLA_API__PUBLIC_METRICS", "true".into()),
        // No host is given up because it stands still.
        ("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "60".into()),
    ];
    Settings { environment, ..Settings::default() }
}

fn few_files() -> Settings {
    Settings { file_limit: Some(FILES), ..few_permits() }
}

fn address(cloud: &Cloud) -> SocketAddr {
    cloud.endpoint.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A connection from one of the machine's own addresses, `127.0.0.N`.
async fn connect(cloud: &Cloud, from: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0)))?;
    socket.connect(address(cloud)).await
}

/// Connections on which this was sent, and on which nothing follows.
async fn stuck(cloud: &Cloud, count: usize, text: &str) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = connect(cloud, 1).await.unwrap();
        // One that was closed at once has got what it came for.
        let _ = socket.write_all(text.as_bytes()).await;
        sockets.push(socket);
    }
    sockets
}

fn log_in_body(user: &str, password: &str) -> Value {
    let domain = json!({ "id": "default" });
    json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": {
            "name": user, "domain": domain, "password": password } } },
        "scope": { "project": { "name": "admin", "domain": domain } } } })
}

/// The answer to a log-in on a new connection from `127.0.0.N`.
async fn log_in(cloud: &Cloud, from: u8, user: &str, password: &str) -> (StatusCode, String) {
    let http = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, from])).build().unwrap();
    let request = http.post(format!("{}/identity/v3/auth/tokens", cloud.endpoint)).json(&log_in_body(user, password));
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Healthy clients, from the attacker's own address: each logs in and lists on a new connection, and lists on an old one,
/// `ROUNDS` times.
async fn healthy_clients_are_served(cloud: &Cloud) {
    let kept = cloud.client().await;
    let clients = (0..3).map(async |_| {
        for _ in 0..ROUNDS {
            let new = Client::connect(&cloud.endpoint, "admin", PASSWORD, "admin").await;
            for client in [&new, &kept] {
                let (status, body) = client.request(Method::GET, "/servers", None).await;
                assert_eq!(status, StatusCode::OK, "{body}");
            }
        }
    });
    join_all(clients).await;
}

/// The value of a figure of the process with the API.
async fn figure(cloud: &Cloud, name: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", cloud.endpoint)).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

const UNFINISHED: &str = "POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/json\r\n\
    Content-Length: 1000\r\n\r\n{";

async fn bodies_that_do_not_end_take_no_permit_from_others(cloud: Cloud) {
    let mut sockets = stuck(&cloud, 4 * PLACES, UNFINISHED).await;
    healthy_clients_are_served(&cloud).await;
    // Who was slow hears so, and nobody else.
    let mut answer = String::new();
    sockets[0].read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

async fn connections_that_say_nothing_keep_nobody_out(mut cloud: Cloud) {
    let files = usize::try_from(FILES).unwrap();
    let silent = stuck(&cloud, files, "").await;
    let halves = stuck(&cloud, files, "GET /compute/v2.1/servers HTTP/1.1\r\nHost: clo").await;
    healthy_clients_are_served(&cloud).await;
    assert!(figure(&cloud, "novella_http_connections{listener=\"api\"}").await < f64::from(FILES));
    let warnings = cloud.process("api-1").log().matches("as many connections as").count();
    assert!((1..10).contains(&warnings), "{warnings} warnings");
    drop((silent, halves));
}

/// An answer that was made before the body was read leaves the connection good for the next request, or says that it ends.
async fn a_body_that_nobody_reads_spoils_no_connection(cloud: Cloud) {
    let head = |size: usize| {
        format!("POST /compute/v2.1/no-such-thing HTTP/1.1\r\nHost: cloud\r\nContent-Length: {size}\r\n\r\n")
    };
    let mut socket = connect(&cloud, 1).await.unwrap();
    for _ in 0..3 {
        socket.write_all(head(2).as_bytes()).await.unwrap();
        socket.write_all(b"{}").await.unwrap();
        let (head, _) = answer(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        assert!(!head.to_lowercase().contains("connection: close"), "{head}");
    }
    // One that does not come, and one that is too much to be read for nothing.
    for size in [2, 100_000_000] {
        let mut socket = connect(&cloud, 1).await.unwrap();
        socket.write_all(head(size).as_bytes()).await.unwrap();
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        assert!(rest.starts_with("HTTP/1.1 401") && rest.to_lowercase().contains("connection: close"), "{rest}");
    }
}

/// The head and the body of one answer.
async fn answer(socket: &mut TcpStream) -> (String, Vec<u8>) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(text).unwrap();
    let size = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; size.unwrap_or(0)];
    socket.read_exact(&mut body).await.unwrap();
    (head, body)
}

/// Guesses the passwords of `user`, from `127.0.0.2`, on many connections, until the sender is dropped.
fn guess(cloud: &Cloud, connections: usize, users: &[&'static str], stop: &watch::Receiver<()>) -> JoinSet<usize> {
    let mut guesses = JoinSet::new();
    let http = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    for number in 0..connections {
        let (url, mut stop, user, http) = (
            format!("{}/identity/v3/auth/tokens", cloud.endpoint),
            stop.clone(),
            users[number % users.len()],
            http.clone(),
        );
        guesses.spawn(async move {
            let mut guessed = 0;
            loop {
                let request = http.post(&url).json(&log_in_body(user, &format!("guess {guessed}")));
                tokio::select! {
                    _ = stop.changed() => return guessed,
                    answer = request.send() => {
                        guessed += usize::from(answer.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED));
                    }
                }
            }
        });
    }
    guesses
}

async fn guessed_passwords_lock_nobody_out(cloud: Cloud) {
    let (going, stop) = watch::channel(());
    // Of the user who logs in meanwhile, too: from another address.
    let guesses = guess(&cloud, 100, &["admin", "somebody", "nobody"], &stop);
    for _ in 0..2 * ROUNDS {
        let (status, body) = log_in(&cloud, 1, "admin", PASSWORD).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
    drop(going);
    guesses.join_all().await;
}

behaviours!(few_permits(); bodies_that_do_not_end_take_no_permit_from_others);

mod with_unread_bodies {
    use super::*;

    behaviours!(Settings::default(); a_body_that_nobody_reads_spoils_no_connection);
}

mod with_all_places {
    use super::*;

    behaviours!(Settings::default(); guessed_passwords_lock_nobody_out);
}

mod with_few_files {
    use super::*;

    behaviours!(few_files(); connections_that_say_nothing_keep_nobody_out);
}

mod on_rabbitmq_and_postgres_too {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_that_wait_for_a_host_that_hangs_take_no_permit_from_others() {
        let mut cloud = Cloud::apart(few_permits()).await;
        let client = cloud.client().await;
        let id = client.create("asked", json!({})).await;
        client.wait_for_status(&id, "ACTIVE").await;
        let host = client.host_of(&id).await;
        cloud.process(&host).freeze();
        let path = format!("/servers/{id}/action");
        let console = json!({ "os-getConsoleOutput": {} });
        let mut asked = JoinSet::new();
        for _ in 0..4 * PLACES {
            let (client, path, console) = (client.clone(), path.clone(), console.clone());
            asked.spawn(async move { client.request(Method::POST, &path, Some(&console)).await });
        }
        // All but those that wait for the host are answered at once.
        for _ in 0..3 * PLACES {
            let (status, body) = asked.join_next().await.unwrap().unwrap();
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        }
        // Who asks that host hears which it is, once as many wait for it as may. Those from above may have had their answer.
        let many = || {
            let requests = (0..2 * PLACES).map(|_| client.request(Method::POST, &path, Some(&console)));
            futures_util::future::join_all(requests)
        };
        wait_for("an answer that names the host", async || {
            let answers = many().await;
            assert!(answers.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE), "{answers:?}");
            let names = |body: &Value| {
                body["serviceUnavailable"]["message"].as_str().unwrap().contains(&format!("The host {host}"))
            };
            answers.iter().any(|(_, body)| names(body))
        })
        .await;
        tokio::join!(healthy_clients_are_served(&cloud), many());
        while let Some(answer) = asked.join_next().await {
            assert_eq!(answer.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
        }
        cloud.process(&host).thaw();
        wait_for("the host to answer again", async || {
            client.request(Method::POST, &path, Some(&console)).await.0 == StatusCode::OK
        })
        .await;
    }
}

#[test]
fn an_api_that_is_to_have_more_connections_than_files_says_so_and_does_not_start() {
    let data = tempfile::tempdir().unwrap();
    for (wanted, said) in [("999999999", "api.max_connections is 999999999"), ("0", "nobody could connect")] {
        let output = novella()
            .args(["up", "--listen", &free_address(), "--data", data.path().to_str().unwrap()])
            .env("NOVELLA_API__MAX_CONNECTIONS", wanted)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
}
