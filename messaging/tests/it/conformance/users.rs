//! A user of the broker that may do what its service does, and no more.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use novella_messaging::{
    CallError, MessagingError, NotificationListener, Notifier, Permissions, RpcServer, Target, Transport,
    TransportOptions,
};
use novella_testing::Broker;
use serde_json::{Value, json};

use crate::conformance::peer::{in_envelope, request};
use crate::conformance::support::*;

const USER: &str = "compute.host-1";
const EXCHANGE: &str = "novella_reports";

/// The URL of a new user with these rights.
async fn user(broker: &Broker, name: &str, permissions: &Permissions) -> String {
    broker.control(&["add_user", name, "secret"]).await;
    let (configure, write, read) = (permissions.configure(), permissions.write(), permissions.read());
    broker.control(&["set_permissions", name, &configure, &write, &read]).await;
    for topic in permissions.topics() {
        broker.control(&["set_topic_permissions", name, &topic.exchange, &topic.write, &topic.read]).await;
    }
    broker.url_as(name, "secret")
}

async fn serve_alone(manager: Arc<Manager>, transport: &Transport) -> RpcServer {
    RpcServer::builder(transport, Target::new("work").server("host-1"))
        .endpoint(WorkEndpoint::new(manager))
        .shared_if_permitted()
        .start()
        .await
        .unwrap()
}

pub async fn who_may_not_declare_waits_for_those_who_may_and_then_does_all_its_work() {
    let broker = Broker::start("").await;
    let rights = Permissions::default().serves_alone("novella", &Permissions::exactly("work.host-1")).sends(EXCHANGE);
    let url = user(&broker, USER, &rights).await;
    let options = TransportOptions { max_deliveries: 2, ..TransportOptions::default() };
    let host = Transport::connect(&url, options).await.unwrap();
    let mut workers = Workers::new();
    let report = Target::new("reports").exchange(EXCHANGE);
    let notifier = Notifier::to(&host, report.clone(), USER).single_active_consumer(true);

    // There is nothing yet. What can't be kept is not taken, and that holds up nothing else.
    let refused = notifier.info(&context(), "early", &()).await;
    assert!(is_unroutable(&refused), "{refused:?}");
    let serving = serve_alone(workers.manager("host-1"), &host);
    let mut serving = std::pin::pin!(serving);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut serving).await.is_err(), "it serves without an exchange");

    // Those who may declare come.
    let services = Transport::connect(&broker.url(), TransportOptions::default()).await.unwrap();
    let listener = NotificationListener::builder(&services, "reports").target(report).single_active_consumer(true);
    let mut listener = listener.start().await.unwrap();
    let _server = within(serving).await;
    eventually(async || notifier.info(&context(), "report", &()).await).await;
    let batch = within(listener.next_batch(10)).await.unwrap();
    let heard = &batch.notifications()[0];
    assert_eq!((&*heard.event_type, heard.sender.as_deref()), ("report", Some(USER)));
    batch.ack().await;

    // It is called by its name, and not by the topic's.
    let client = WorkClient::new(&services);
    let one = client.server("host-1");
    assert_eq!(one.echo(&context(), "well".into()).await.unwrap().1, "well");
    let any = client.echo(&context(), "any".into()).await;
    assert!(matches!(any, Err(CallError::Messaging(MessagingError::Unroutable { .. }))), "{any:?}");

    // It gives back what failed, and sets it aside in the end.
    one.perform(&context(), "fail".into()).await.unwrap();
    assert_eq!([workers.next_text().await, workers.next_text().await], ["fail", "fail"]);
    let letters = dead_lettered(&services, 1).await;
    assert_eq!((letters[0].queue.as_str(), letters[0].doubtful), ("work.host-1", false));
}

/// Its reply queue is reached by the default exchange alone. Who answered by that would reach every queue.
pub async fn a_caller_of_oslo_messaging_is_answered_by_those_only_who_may_reach_every_queue() {
    let broker = Broker::start("").await;
    let rights = Permissions::default().serves_alone("novella", &Permissions::exactly("work.host-1"));
    let services = Transport::connect(&broker.url(), TransportOptions::default()).await.unwrap();
    let mut workers = Workers::new();
    // Declares the control exchange.
    let _others = workers.serve(&services, "host-2").await;
    let (one, all) = (rights.clone(), rights.answers_oslo_messaging());
    for (name, rights, answered) in [("strict", one, false), ("open", all, true)] {
        let host = Transport::connect(&user(&broker, name, &rights).await, TransportOptions::default()).await.unwrap();
        let server = serve_alone(workers.manager("host-1"), &host).await;
        let connection =
            Connection::connect(&format!("{}%2f", broker.url()), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let reply_queue = format!("reply_{name}");
        let own = lapin::options::QueueDeclareOptions { exclusive: true, ..Default::default() };
        channel.queue_declare(reply_queue.as_str().into(), own, Default::default()).await.unwrap();
        let mut call = request("wait", json!({}), name);
        call["_msg_id"] = json!("m1");
        call["_reply_q"] = json!(reply_queue);
        let body = in_envelope(&call);
        let properties = BasicProperties::default();
        let options = BasicPublishOptions::default();
        channel
            .basic_publish("".into(), "work.host-1".into(), options, &body, properties)
            .await
            .unwrap()
            .await
            .unwrap();
        workers.gate.add_permits(1);
        assert_eq!([workers.next_text().await, workers.next_text().await], ["wait", "waited"]);
        // What comes after it on the same way has arrived, and so would the answer have, but for a moment.
        assert_eq!(
            WorkClient::new(&services).server("host-1").echo(&context(), "next".into()).await.unwrap().1,
            "next"
        );
        let answer = async || {
            let came = channel.basic_get(reply_queue.as_str().into(), Default::default()).await.unwrap();
            came.map(|got| serde_json::from_slice::<Value>(&got.delivery.data).unwrap())
        };
        if answered {
            eventually(async || answer().await.ok_or("there is no answer")).await;
        } else {
            assert_eq!(answer().await, None, "{name}");
        }
        server.stop(NO_GRACE).await;
        // It was done once, and is not done again for the answer's sake.
        assert_eq!(workers.unread_events(), []);
    }
}
