//! The floor: lapin by hand, doing the same input and output and nothing else. Requests and answers are persistent,
//! published with confirm and acknowledged, as the library's are; nothing is encoded, routed by method, watched or kept
//! alive.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::oneshot;

use crate::measure;
use crate::usage::{self, Usage};

const QUEUE: &str = "floor";
const FANOUT: &str = "floor_all";

async fn connect(url: &str) -> Result<Connection> {
    Ok(Connection::connect(url, ConnectionProperties::default()).await?)
}

fn gone_with_its_consumer() -> QueueDeclareOptions {
    QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() }
}

async fn confirming(connection: &Connection) -> Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) -> Result<()> {
    let options = BasicPublishOptions { mandatory: exchange.is_empty(), immediate: false };
    channel.basic_publish(exchange.into(), key.into(), options, body, properties.with_delivery_mode(2)).await?.await?;
    Ok(())
}

#[derive(Default)]
struct Counts {
    noted: AtomicUsize,
    rung: Mutex<HashMap<usize, (usize, u64)>>,
}

pub(crate) async fn serve(url: &str, servers: usize) -> Result<()> {
    let (sending, receiving) = (connect(url).await?, connect(url).await?);
    let counts = Arc::new(Counts::default());
    for number in 0..servers {
        let (channel, answers) = (receiving.create_channel().await?, confirming(&sending).await?);
        channel.basic_qos(256, BasicQosOptions { global: true }).await?;
        let own = format!("{FANOUT}_{}_{number}", std::process::id());
        channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
        channel.queue_declare(own.as_str().into(), gone_with_its_consumer(), FieldTable::default()).await?;
        let flags = ExchangeDeclareOptions::default();
        channel.exchange_declare(FANOUT.into(), ExchangeKind::Fanout, flags, FieldTable::default()).await?;
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(own.as_str().into(), FANOUT.into(), "".into(), options, table).await?;
        for queue in [QUEUE, own.as_str()] {
            let options = BasicConsumeOptions::default();
            let mut consumer =
                channel.basic_consume(queue.into(), queue.into(), options, FieldTable::default()).await?;
            let (answers, counts) = (answers.clone(), Arc::clone(&counts));
            tokio::spawn(async move {
                while let Some(Ok(delivery)) = consumer.next().await {
                    tokio::spawn(handle(delivery, answers.clone(), Arc::clone(&counts), servers));
                }
            });
        }
    }
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

async fn handle(
    delivery: lapin::message::Delivery,
    answers: Channel,
    counts: Arc<Counts>,
    servers: usize,
) -> Result<()> {
    let kind = delivery.properties.kind().as_ref().map(|kind| kind.to_string()).unwrap_or_default();
    let number = || anyhow::Ok(std::str::from_utf8(&delivery.data)?.parse::<usize>()?);
    let answer = match kind.as_str() {
        "echo" => delivery.data.clone(),
        "note" => {
            counts.noted.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        }
        "noted" => serde_json::to_vec(&counts.noted.load(Ordering::Relaxed))?,
        "ring" => {
            let now = usage::monotonic()?;
            let mut rung = counts.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let (count, last) = rung.entry(number()?).or_default();
            (*count, *last) = (*count + 1, now);
            Vec::new()
        }
        "rung" => {
            let rung = counts.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let last = rung.get(&number()?).filter(|(count, _)| *count >= servers).map(|(_, last)| *last);
            serde_json::to_vec(&last)?
        }
        _ => serde_json::to_vec(&usage::of_this_process()?)?,
    };
    if let (Some(queue), Some(id)) = (delivery.properties.reply_to(), delivery.properties.correlation_id()) {
        let properties = BasicProperties::default().with_correlation_id(id.clone());
        publish(&answers, "", queue.as_str(), &answer, properties).await?;
    }
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}

#[derive(Clone)]
pub(crate) struct Client(Arc<Shared>);

struct Shared {
    requests: Channel,
    queue: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>,
    _connections: [Connection; 2],
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (sending, receiving) = (connect(url).await?, connect(url).await?);
        let requests = confirming(&sending).await?;
        let channel = receiving.create_channel().await?;
        let queue = format!("floor_reply_{}", std::process::id());
        channel.queue_declare(queue.as_str().into(), gone_with_its_consumer(), FieldTable::default()).await?;
        channel.basic_qos(1000, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut consumer =
            channel.basic_consume(queue.as_str().into(), "1".into(), options, FieldTable::default()).await?;
        let shared = Arc::new(Shared {
            requests,
            queue,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            _connections: [sending, receiving],
        });
        let answers = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let id = delivery.properties.correlation_id().as_ref().map(|id| id.to_string()).unwrap_or_default();
                let waiting = answers.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                // Whoever waited may have gone.
                let _ = waiting.map(|waiting| waiting.send(delivery.data.clone()));
                let _ = delivery.ack(BasicAckOptions::default()).await;
            }
        });
        Ok(Self(shared))
    }

    async fn call(&self, kind: &str, body: &[u8]) -> Result<Vec<u8>> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, answer) = oneshot::channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        let properties = BasicProperties::default()
            .with_type(kind.into())
            .with_correlation_id(id.as_str().into())
            .with_reply_to(self.0.queue.as_str().into());
        publish(&self.0.requests, "", QUEUE, body, properties).await?;
        answer.await.context("the connection is gone")
    }
}

impl measure::Client for Client {
    async fn echo(&self, payload: String) -> Result<()> {
        let came = self.call("echo", payload.as_bytes()).await?;
        anyhow::ensure!(came.len() == 1024, "another payload came back");
        Ok(())
    }

    async fn note(&self, payload: String) -> Result<()> {
        publish(&self.0.requests, "", QUEUE, payload.as_bytes(), BasicProperties::default().with_type("note".into()))
            .await
    }

    async fn noted(&self) -> Result<usize> {
        Ok(serde_json::from_slice(&self.call("noted", b"").await?)?)
    }

    async fn ring(&self, round: usize) -> Result<()> {
        let properties = BasicProperties::default().with_type("ring".into());
        publish(&self.0.requests, FANOUT, "", round.to_string().as_bytes(), properties).await
    }

    async fn rung(&self, round: usize) -> Result<Option<u64>> {
        Ok(serde_json::from_slice(&self.call("rung", round.to_string().as_bytes()).await?)?)
    }

    async fn usage(&self) -> Result<Usage> {
        Ok(serde_json::from_slice(&self.call("usage", b"").await?)?)
    }
}
