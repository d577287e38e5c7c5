//! A peer that is not of this crate: it speaks AMQP by itself, and writes its messages as oslo.messaging does.

use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use novella_testing::Vhost;
use serde_json::{Value, json};

pub struct Peer {
    channel: Channel,
}

impl Peer {
    pub async fn connect(vhost: &Vhost) -> Self {
        let connection = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { channel }
    }

    /// Sends to the topic's queue, all at once.
    pub async fn send(&self, bodies: impl IntoIterator<Item = Vec<u8>>) {
        let mut confirms = Vec::new();
        for body in bodies {
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default().with_delivery_mode(2);
            let confirm = self.channel.basic_publish("".into(), "work".into(), options, &body, properties).await;
            confirms.push(confirm.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    /// What comes to a queue of its own.
    pub async fn consume(&self, queue: &str) -> Consumer {
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), own, FieldTable::default()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
    }
}

/// What asks for a method: a cast, as long as nobody adds where an answer goes.
pub fn request(method: &str, args: Value, unique_id: &str) -> Value {
    json!({
        "method": method, "args": args, "version": "1.0", "_unique_id": unique_id,
        "_context_user_id": "u1", "_context_request_id": "req-1",
    })
}

/// A message in its envelope.
pub fn in_envelope(message: &Value) -> Vec<u8> {
    json!({ "oslo.version": "2.0", "oslo.message": message.to_string() }).to_string().into_bytes()
}

/// A message out of its envelope.
pub fn from_envelope(body: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(body).unwrap();
    serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap()
}
