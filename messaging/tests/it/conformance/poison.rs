//! Messages that nobody can do anything with: they are set aside, and neither harm nor betray anybody.

use novella_messaging::{Transport, TransportOptions};
use novella_testing::Vhost;
use serde_json::{Value, json};

use crate::conformance::peer::{Peer, in_envelope, request};
use crate::conformance::support::*;
use novella_testing::Proxy;

/// The most that is kept of a reason, in bytes.
const LONGEST_REASON: usize = 4096;

/// A reason goes into a header, and a broker cuts the connection over a header that does not fit into a frame.
pub async fn a_message_with_huge_values_is_set_aside_and_cuts_no_connection(vhost: &Vhost) {
    let (proxy, mut workers) = (Proxy::before(vhost.url()).await, Workers::new());
    let options = TransportOptions { max_deliveries: 2, ..TransportOptions::default() };
    let transport = Transport::connect(proxy.url(), options).await.unwrap();
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    client.echo(&context(), "before".into()).await.unwrap();
    assert_eq!(transport.dead_letters(1).await.unwrap(), []);
    let connections = proxy.connections();

    let mut malformed = request("", json!({}), "a");
    malformed["method"] = json!([huge()]);
    Peer::connect(vhost).await.send([in_envelope(&malformed)]).await;
    client.perform(&context(), "fail long".into()).await.unwrap();
    assert_eq!([workers.next_text().await, workers.next_text().await], ["fail long", "fail long"]);

    let letters = dead_lettered(&transport, 2).await;
    for (method, beginning) in
        [(None, "malformed message: `method` is "), (Some("perform"), "delivered 2 times in vain")]
    {
        let letter = letters.iter().find(|letter| letter.method.as_deref() == method).unwrap();
        let reason = &letter.reason;
        assert!(reason.starts_with(beginning) && reason.contains("üü"), "{reason}");
        assert!(reason.len() <= LONGEST_REASON, "{} bytes are kept of a reason", reason.len());
    }
    // Of the message itself nothing is cut off.
    assert!(letters.iter().any(|letter| letter.body.contains(&huge())));
    client.echo(&context(), "after".into()).await.unwrap();
    assert_eq!(proxy.connections(), connections, "the transport had to connect again");
}

pub async fn a_peers_credential_is_not_kept_with_a_dead_letter(vhost: &Vhost) {
    let workers = Workers::new();
    let options = TransportOptions { max_deliveries: 2, ..TransportOptions::default() };
    let transport = Transport::connect(vhost.url(), options).await.unwrap();
    let _server = workers.serve(&transport, "host-1").await;
    let with_token = |mut message: Value| {
        message["_context_auth_token"] = json!("secret");
        message
    };
    let failing = with_token(request("perform", json!({ "job": "fail" }), "a"));
    let malformed = with_token(json!({ "args": {}, "_unique_id": "b", "_context_request_id": "req-1" }));
    // The last as envelope 1.0, which is none.
    let bodies = [in_envelope(&failing), in_envelope(&malformed), malformed.to_string().into_bytes()];
    Peer::connect(vhost).await.send(bodies).await;
    for letter in dead_lettered(&transport, 3).await {
        assert!(letter.body.contains("req-1") && !letter.body.contains("secret"), "{letter:?}");
        assert!(!letter.reason.contains("secret"), "{letter:?}");
    }
}

/// A name of more than 255 bytes is none in AMQP. The work is done by then, and not to be done again for the answer's sake.
pub async fn a_call_that_cannot_be_answered_is_done_once(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let mut call = request("wait", json!({}), "a");
    call["_msg_id"] = json!("m1");
    call["_reply_q"] = json!("q".repeat(300));
    Peer::connect(vhost).await.send([in_envelope(&call)]).await;
    workers.gate.add_permits(5);
    assert_eq!([workers.next_text().await, workers.next_text().await], ["wait", "waited"]);
    vhost.wait_for_messages("work", 0).await;
    WorkClient::new(&transport).perform(&context(), "next".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "next");
    assert_eq!(workers.unread_events(), []);
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
}
