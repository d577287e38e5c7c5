//! The HTTP listener, by real connections: how long it is patient, and who goes when too many come.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use novella_common::service::{ConnectionLimits, Plain, Shutdown, serve_http};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(600);
const REQUEST: &str = "GET /now HTTP/1.1\r\nHost: here\r\n\r\n";

const PATIENT: ConnectionLimits =
    ConnectionLimits { max_connections: 8, header_timeout: LONG, keep_alive_timeout: LONG, write_timeout: LONG };

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    /// Says when a request for `/later` is being worked on, and ends it.
    later: mpsc::Receiver<tokio::sync::oneshot::Sender<()>>,
}

async fn server(limits: ConnectionLimits) -> Server {
    let (begun, later) = mpsc::channel(16);
    let waits = move || {
        let begun = begun.clone();
        async move {
            let (end, ended) = tokio::sync::oneshot::channel();
            begun.send(end).await.unwrap();
            let _ = ended.await;
            "later"
        }
    };
    let router = Router::new()
        .route("/now", get(|| async { "now" }))
        .route("/much", get(|| async { "much".repeat(8 << 20) }))
        .route("/later", get(waits));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
    let stop = shutdown.clone();
    shutdown.spawn(async move { serve_http("test", listener, router, Plain, limits, &stop).await });
    Server { address, shutdown, later }
}

impl Server {
    async fn connect(&self, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream
    }
}

/// What comes until `end` has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8(text).unwrap()
}

/// What comes until the other side ends it, which it does.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection with something unread in it is ended by a reset.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn who_sends_no_head_is_cut_off_and_who_was_answered_is_not() {
    let server = server(ConnectionLimits { header_timeout: SHORT, ..PATIENT }).await;
    let (silent, half) = (server.connect("").await, server.connect("GET /now HTTP/1.1\r\nHo").await);
    let mut kept = server.connect(REQUEST).await;
    until(&mut kept, "now").await;
    assert_eq!((rest(silent).await, rest(half).await), (String::new(), String::new()));
    // Of a kept one, too, the next head may not take long.
    kept.write_all(REQUEST.as_bytes()).await.unwrap();
    until(&mut kept, "now").await;
    kept.write_all(b"GET").await.unwrap();
    assert_eq!(rest(kept).await, "");
}

#[tokio::test]
async fn who_was_answered_and_asks_nothing_more_is_cut_off_after_a_while() {
    let server = server(ConnectionLimits { keep_alive_timeout: SHORT, ..PATIENT }).await;
    let answered = server.connect(REQUEST).await;
    assert!(rest(answered).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_does_not_read_its_answer_is_cut_off() {
    let server = server(ConnectionLimits { write_timeout: SHORT, ..PATIENT }).await;
    let mut unread = server.connect("GET /much HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let mut more = [0; 1];
    unread.read_exact(&mut more).await.unwrap();
    // Once it is cut off, nothing can be sent either.
    while unread.write_all(b"GET").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_request_that_is_worked_on_may_take_its_time() {
    let short = ConnectionLimits { header_timeout: SHORT, keep_alive_timeout: SHORT, write_timeout: SHORT, ..PATIENT };
    let mut server = server(short).await;
    let mut waits = server.connect("GET /later HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let end = server.later.recv().await.unwrap();
    assert_eq!(rest(server.connect("").await).await, "");
    end.send(()).unwrap();
    until(&mut waits, "later").await;
}

#[tokio::test]
async fn when_too_many_come_the_idlest_goes_and_none_that_is_worked_for() {
    let mut server = server(PATIENT).await;
    let mut waits = server.connect("GET /later HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let end = server.later.recv().await.unwrap();
    let mut kept = server.connect(REQUEST).await;
    until(&mut kept, "now").await;
    let mut silent = Vec::new();
    for _ in 0..PATIENT.max_connections {
        silent.push(server.connect("").await);
    }
    let mut new = server.connect(REQUEST).await;
    until(&mut new, "now").await;
    // The first ones that came and said nothing.
    for gone in silent.drain(..3) {
        assert_eq!(rest(gone).await, "");
    }
    kept.write_all(REQUEST.as_bytes()).await.unwrap();
    until(&mut kept, "now").await;
    end.send(()).unwrap();
    until(&mut waits, "later").await;
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let server = server(PATIENT).await;
    let answer = rest(server.connect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await).await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn a_stop_lets_answers_end_and_nothing_else() {
    let mut server = server(PATIENT).await;
    let waits = server.connect("GET /later HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let end = server.later.recv().await.unwrap();
    let (silent, mut kept) = (server.connect("GET").await, server.connect(REQUEST).await);
    until(&mut kept, "now").await;
    server.shutdown.request();
    assert_eq!((rest(silent).await, rest(kept).await), (String::new(), String::new()));
    assert!(!server.shutdown.finished(Duration::ZERO).await);
    end.send(()).unwrap();
    assert!(rest(waits).await.ends_with("later"));
    assert!(server.shutdown.finished(LONG).await);
    assert!(TcpStream::connect(server.address).await.is_err());
}
