//! A compute host after a guest has broken out: what its credential for the bus is good for, and what not; and likewise the
//! API's. And that a cloud whose services each have a user of their own does all that it did.
//!
//! The attacks use what AMQP offers, not what this program sends.

use std::{collections::BTreeMap, process::Command};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeBindOptions,
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
        QueuePurgeOptions,
    },
    types::{AMQPValue, FieldArray, FieldTable, ShortString},
};
use novella_common::{
    RequestContext,
    ids::{Incarnation, TaskId},
    lifecycle::{Action, PowerState, VmState},
    models::{AllocationRatios, Inventory, Resources},
    reports::{Fact, Hello, InstanceReport, OperationProgress, Report},
};
use novella_compute::rpcapi::ActionArguments;
use novella_testing::Broker;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    cloud::{Cloud, HOSTS, Settings, wait_for},
    process::novella,
};

/// The name under which a host may declare what it likes, a queue or an exchange, with all rights to it.
const BETWEEN: &str = "again_compute.host-1";

/// A `novella` command of the operator's, who has all rights on the bus.
fn operator(broker: &Broker, arguments: &[&str]) -> Command {
    let mut command = novella();
    command.args(arguments);
    command.env("NOVELLA_BUS__URL", broker.url());
    command.env("NOVELLA_BUS__MANAGEMENT_URL", broker.management_url());
    command
}

async fn run(broker: &Broker, arguments: &[&str]) -> (bool, String, String) {
    let mut command = operator(broker, arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Makes the users, and returns the bus as each reaches it.
async fn grant(broker: &Broker) -> BTreeMap<String, String> {
    let names = ["api", "scheduler", "conductor", "host-1", "host-2", "host-3"];
    let (granted, out, err) = run(broker, &[&["bus", "grant"][..], &names].concat()).await;
    assert!(granted, "{err}");
    let line = |line: &str| line.split_once(": NOVELLA_BUS__URL=").map(|(name, url)| (name.to_owned(), url.to_owned()));
    let users: BTreeMap<_, _> = out.lines().filter_map(line).collect();
    assert_eq!(users.len(), names.len(), "{out}");
    users
}

async fn cloud_with_users(broker: &Broker) -> (Cloud, BTreeMap<String, String>) {
    let users = grant(broker).await;
    // So that what is set aside is so within a test's patience.
    let environment = vec![("NOVELLA_BUS__MAX_DELIVERIES", "2".to_owned())];
    let settings = Settings { users: users.clone(), environment, ..Settings::default() };
    (Cloud::on_bus(&broker.url(), settings).await, users)
}

async fn a_server_on(client: &Client, host: &str) -> String {
    let mut body = client.create_body(&format!("on-{host}"), json!({})).await;
    body["server"]["availability_zone"] = json!(format!("nova:{host}"));
    let (_, answer) = client.request(reqwest::Method::POST, "/servers", Some(&body)).await;
    let id = answer["server"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    client.wait_for_status(&id, "ACTIVE").await;
    assert_eq!(client.host_of(&id).await, host);
    id
}

async fn dead_letters(broker: &Broker) -> Vec<Value> {
    let (listed, out, err) = run(broker, &["bus", "dead-letters", "--format", "json"]).await;
    assert!(listed, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// Somebody with a credential of the broker's.
struct Attacker {
    connection: Connection,
    /// The queues that there are, by the operator's word.
    queues: Vec<String>,
}

impl Attacker {
    async fn new(url: &str, queues: Vec<String>) -> Self {
        // The virtual host `/`, which this client wants to be written so.
        let url = format!("{}/%2f", url.trim_end_matches('/'));
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        Self { connection, queues }
    }

    /// A new one for each attempt: a refusal closes it.
    async fn channel(&self) -> Channel {
        let channel = self.connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channel
    }

    /// Sends one message; returns when the broker has taken it.
    async fn send(&self, exchange: &str, key: &str, properties: BasicProperties, body: &Value) -> lapin::Result<()> {
        let (channel, body) = (self.channel().await, body.to_string());
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await?;
        sent.await.map(drop)
    }

    /// The queues of everybody else.
    fn others(&self) -> impl Iterator<Item = &String> {
        let is_own = |queue: &str| {
            let queue = queue.trim_start_matches("again_");
            queue == "compute.host-1"
                || queue.starts_with("compute-control.host-1.")
                || queue.starts_with("begun_compute.host-1_")
        };
        self.queues.iter().filter(move |queue| !is_own(queue))
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(what: &str, outcome: lapin::Result<T>) {
    let error = outcome.map(|done| format!("{done:?}")).expect_err(what).to_string();
    assert!(error.contains("ACCESS_REFUSED") || error.contains("PRECONDITION_FAILED - user_id"), "{what}: {error}");
}

fn table() -> FieldTable {
    FieldTable::default()
}

/// A table with these texts in it.
fn texts(entries: &[(&str, &str)]) -> FieldTable {
    let mut table = table();
    for (key, text) in entries {
        table.insert((*key).into(), AMQPValue::LongString((*text).into()));
    }
    table
}

fn plain() -> BasicProperties {
    BasicProperties::default()
}

/// A command to stop a guest, as a service sends it: the operator's copy of it at the end works.
fn stop(server: &str) -> Value {
    let context = serde_json::to_value(RequestContext::internal()).unwrap();
    let context =
        context.as_object().unwrap().iter().map(|(field, value)| (format!("_context_{field}"), value.clone()));
    let operation = json!({ "instance": server, "task_id": TaskId::random() });
    let mut message = json!({ "method": "stop_instance", "version": "1.0", "_unique_id": TaskId::random(),
        "args": { "operation": operation, "action": Action::Stop, "arguments": ActionArguments::default() } });
    message.as_object_mut().unwrap().extend(context);
    message
}

/// A report as a host sends it.
fn report(host: &str, fact: Fact) -> Value {
    let report = Report { host: host.to_owned(), fact };
    json!({ "message_id": "0f0f0f0f-0000-4000-8000-000000000000", "publisher_id": format!("compute.{host}"),
        "event_type": report.event_type(), "priority": "INFO", "payload": report,
        "timestamp": "2026-11-20 17:26:49.340149", "_unique_id": "0f0f0f0f" })
}

async fn reads_purges_deletes_and_binds_nothing_of_others(host: &Attacker) {
    assert!(host.others().count() >= 10, "{:?}", host.queues);
    for queue in host.others() {
        let name = || ShortString::from(queue.as_str());
        let channel = host.channel().await;
        assert_refused(queue, channel.basic_get(name(), BasicGetOptions::default()).await);
        let (channel, options) = (host.channel().await, BasicConsumeOptions::default());
        assert_refused(queue, channel.basic_consume(name(), "t".into(), options, table()).await);
        let channel = host.channel().await;
        assert_refused(queue, channel.queue_purge(name(), QueuePurgeOptions::default()).await);
        let channel = host.channel().await;
        assert_refused(queue, channel.queue_delete(name(), QueueDeleteOptions::default()).await);
        let channel = host.channel().await;
        assert_refused(queue, channel.queue_declare(name(), QueueDeclareOptions::durable(), table()).await);
        let (channel, options) = (host.channel().await, QueueBindOptions::default());
        let bound = channel.queue_bind(name(), "novella".into(), "compute.host-1".into(), options, table());
        assert_refused(queue, bound.await);
    }
    for exchange in ["novella", "novella_reports", "novella_replies", "novella_dead_letters", "conductor_fanout"] {
        let (channel, options) = (host.channel().await, ExchangeDeleteOptions::default());
        assert_refused(exchange, channel.exchange_delete(exchange.into(), options).await);
    }
}

async fn taps_neither_reports_nor_answers_nor_the_commands_to_others(host: &Attacker) {
    let own = "compute.host-1";
    let taps = [
        ("novella_reports", "reports.info"),
        ("novella_reports", "#"),
        ("novella_replies", "reply_"),
        ("novella_dead_letters", "#"),
        ("novella", "compute.host-2"),
        ("novella", "compute.*"),
        ("novella", "#"),
        ("novella", "conductor"),
        ("novella", "scheduler"),
        ("conductor_fanout", "conductor"),
    ];
    for (exchange, key) in taps {
        let (channel, options) = (host.channel().await, QueueBindOptions::default());
        assert_refused(key, channel.queue_bind(own.into(), exchange.into(), key.into(), options, table()).await);
    }
    // Nor by an exchange in between, which it may declare under a name of its own.
    let channel = host.channel().await;
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(BETWEEN.into(), ExchangeKind::Topic, options, table()).await.unwrap();
    for (exchange, key) in taps {
        let (channel, options) = (host.channel().await, ExchangeBindOptions::default());
        assert_refused(key, channel.exchange_bind(BETWEEN.into(), exchange.into(), key.into(), options, table()).await);
    }
    channel.exchange_delete(BETWEEN.into(), ExchangeDeleteOptions::default()).await.unwrap();
}

async fn commands_nobody(host: &Attacker, victim: &str) {
    let command = stop(victim);
    for (exchange, key) in [
        ("novella", "compute.host-2"),
        ("novella", "conductor"),
        ("novella", "scheduler"),
        // What it may hear it may not send either.
        ("novella", "compute.host-1"),
        ("", "compute.host-2"),
        ("", "conductor"),
        ("conductor_fanout", ""),
    ] {
        assert_refused(key, host.send(exchange, key, plain(), &command).await);
    }
    // A broker sends a message to the keys in this header too, and checks no right to them.
    let mut keys = FieldArray::default();
    for key in ["compute.host-2", "conductor", "scheduler"] {
        keys.push(AMQPValue::LongString(key.into()));
    }
    for header in ["CC", "BCC"] {
        let mut headers = table();
        headers.insert(header.into(), AMQPValue::FieldArray(keys.clone()));
        for exchange in ["novella_reports", "novella_replies"] {
            host.send(exchange, "nowhere", plain().with_headers(headers.clone()), &command).await.unwrap();
        }
    }
    // Nor has it the broker do it.
    for exchange in ["novella", ""] {
        let arguments = texts(&[("x-dead-letter-exchange", exchange), ("x-dead-letter-routing-key", "compute.host-2")]);
        let channel = host.channel().await;
        assert_refused(
            "dead letters",
            channel.queue_declare(BETWEEN.into(), QueueDeclareOptions::durable(), arguments).await,
        );
    }
    let (channel, arguments) = (host.channel().await, texts(&[("alternate-exchange", "novella")]));
    let options = ExchangeDeclareOptions::default();
    let declared = channel.exchange_declare(BETWEEN.into(), ExchangeKind::Fanout, options, arguments).await;
    assert_refused("an alternate exchange", declared);
    let options = ExchangeDeclareOptions::default();
    let channel = host.channel().await;
    channel.exchange_declare(BETWEEN.into(), ExchangeKind::Fanout, options, table()).await.unwrap();
    let options = ExchangeBindOptions::default();
    let bound = channel.exchange_bind("novella".into(), BETWEEN.into(), "#".into(), options, table());
    assert_refused("an exchange that leads to that of the commands", bound.await);
    host.channel().await.exchange_delete(BETWEEN.into(), ExchangeDeleteOptions::default()).await.unwrap();
}

/// The facts by which a host would take over another, or its guests.
fn forgeries(victim: &str) -> Vec<Fact> {
    let incarnation = Incarnation::random();
    let most = Resources { vcpus: i64::MAX, memory_mb: i64::MAX, disk_gb: i64::MAX };
    let inventory = Inventory {
        total: most,
        reserved: Resources { vcpus: 0, memory_mb: 0, disk_gb: 0 },
        ratios: AllocationRatios::default(),
        hypervisor_type: "fake".into(),
        hypervisor_version: 1,
        hypervisor_hostname: "host-2".into(),
        host_ip: "192.0.2.1".into(),
        cpu_info: json!({}),
        availability_zone: "nova".into(),
    };
    let instance = |power_state: PowerState, progress: OperationProgress| {
        Fact::Instance(InstanceReport {
            instance: victim.parse().unwrap(),
            seq: i64::MAX,
            task_id: None,
            request_id: None,
            power_state,
            progress,
            event: None,
        })
    };
    vec![
        Fact::Hello(Hello { incarnation, inventory, identity: None }),
        Fact::Alive { incarnation },
        Fact::Goodbye { incarnation },
        instance(PowerState::Shutdown, OperationProgress::Done { vm_state: VmState::Stopped }),
        instance(PowerState::NoState, OperationProgress::Gone),
    ]
}

async fn reports_for_nobody_else(host: &Attacker, cloud: &Cloud, victim: &str) {
    let send = async |user: Option<&str>, body: &Value| {
        let properties = user.map_or_else(plain, |user| plain().with_user_id(user.into()));
        host.send("novella_reports", "reports.info", properties, body).await
    };
    for fact in forgeries(victim) {
        let forged = report("host-2", fact);
        for user in ["compute.host-2", "conductor", "novella"] {
            assert_refused(user, send(Some(user), &forged).await);
        }
        send(Some("compute.host-1"), &forged).await.unwrap();
        send(None, &forged).await.unwrap();
    }
    for reason in ["`compute.host-1` does not speak for this host", "its sender does not say who it is"] {
        wait_for("the conductors to name the forged reports", async || cloud.logs().contains(reason)).await;
    }
}

async fn forges_no_answer(host: &Attacker) {
    let forged =
        json!({ "result": "forged", "failure": null, "ending": true, "_msg_id": "0f".repeat(16), "_unique_id": "0f" });
    // It knows the queue of who has called it, but not the ids of the calls to others.
    for queue in host.queues.iter().filter(|queue| queue.starts_with("reply_")) {
        host.send("novella_replies", queue, plain(), &forged).await.unwrap();
        assert_refused(queue, host.send("", queue, plain(), &forged).await);
    }
}

async fn plants_no_letter_that_hits_others(host: &Attacker, broker: &Broker, victim: &str) {
    let headers = texts(&[
        ("x-novella-death-reason", "planted"),
        ("x-novella-death-queue", "compute.host-2"),
        ("x-novella-death-time", "2026-11-20T17:26:49Z"),
    ]);
    let (letter, body) = (plain().with_headers(headers), stop(victim));
    assert_refused("a letter", host.send("novella_dead_letters", "compute.host-2", letter.clone(), &body).await);
    assert_refused("a letter", host.send("", "dead_letters", letter.clone(), &body).await);
    // As one of its own, by an exchange in between, and by a queue whose dead letters the broker moves.
    host.send("novella_dead_letters", "compute.host-1", letter.clone(), &body).await.unwrap();
    let between = BETWEEN;
    let channel = host.channel().await;
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(between.into(), ExchangeKind::Fanout, options, table()).await.unwrap();
    let options = ExchangeBindOptions::default();
    channel.exchange_bind("novella_dead_letters".into(), between.into(), "".into(), options, table()).await.unwrap();
    host.send(between, "compute.host-2", letter.clone(), &body).await.unwrap();
    let mut arguments =
        texts(&[("x-dead-letter-exchange", "novella_dead_letters"), ("x-dead-letter-routing-key", "compute.host-2")]);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(0));
    channel.queue_declare(between.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    let options = QueueBindOptions::default();
    channel
        .exchange_unbind("novella_dead_letters".into(), between.into(), "".into(), Default::default(), table())
        .await
        .unwrap();
    channel.queue_bind(between.into(), between.into(), "".into(), options, table()).await.unwrap();
    host.send(between, "", letter, &body).await.unwrap();

    let planted = async || {
        let letters = dead_letters(broker).await;
        letters.into_iter().filter(|letter| letter["reason"] == "planted").collect::<Vec<_>>()
    };
    wait_for("the planted letters", async || planted().await.len() == 3).await;
    let letters = planted().await;
    let origins: Vec<_> =
        letters.iter().map(|letter| (letter["queue"].as_str().unwrap(), &letter["doubtful"])).collect();
    let doubtful = ("compute.host-2", &json!(true));
    assert_eq!(origins, [("compute.host-1", &json!(false)), doubtful, doubtful]);
    let (all_sent, out, err) = run(broker, &["bus", "retry", "--all"]).await;
    assert!(!all_sent && err.contains("the broker does not vouch for that"), "{out}{err}");
}

/// Who has the API's credential commands, as the API does, and settles what was set aside; no more.
async fn the_apis_user_settles_dead_letters_and_reads_and_forges_nothing(api: &Attacker) {
    let own = |queue: &&String| queue.starts_with("reply_") || *queue == "dead_letters";
    let others: Vec<_> = api.queues.iter().filter(|queue| !own(queue)).collect();
    assert!(others.len() >= 10, "{:?}", api.queues);
    for queue in others {
        let name = || ShortString::from(queue.as_str());
        let channel = api.channel().await;
        assert_refused(queue, channel.basic_get(name(), BasicGetOptions::default()).await);
        let channel = api.channel().await;
        assert_refused(queue, channel.queue_purge(name(), QueuePurgeOptions::default()).await);
    }
    let letters = || ShortString::from("dead_letters");
    // Taken, and put back by the channel's end.
    let taken = api.channel().await.basic_get(letters(), BasicGetOptions::default()).await;
    assert!(taken.is_ok(), "{taken:?}");
    let channel = api.channel().await;
    assert_refused("delete", channel.queue_delete(letters(), QueueDeleteOptions::default()).await);
    let channel = api.channel().await;
    assert_refused("declare", channel.queue_declare(letters(), QueueDeclareOptions::durable(), table()).await);
    for (queue, exchange) in
        [("dead_letters", "novella_dead_letters"), ("dead_letters", "novella"), ("compute.host-1", "novella")]
    {
        let (channel, options) = (api.channel().await, QueueBindOptions::default());
        assert_refused(queue, channel.queue_bind(queue.into(), exchange.into(), "#".into(), options, table()).await);
    }
    // Nor does it tap what others set aside or report: a queue of its own hears neither.
    let tap = format!("reply_{}", "0f".repeat(16));
    let channel = api.channel().await;
    channel.queue_declare(tap.as_str().into(), QueueDeclareOptions::durable(), table()).await.unwrap();
    for exchange in ["novella_dead_letters", "novella_reports"] {
        let (channel, options) = (api.channel().await, QueueBindOptions::default());
        assert_refused(
            exchange,
            channel.queue_bind(tap.as_str().into(), exchange.into(), "#".into(), options, table()).await,
        );
    }
    for (exchange, key) in [
        ("", "dead_letters"),
        ("", "compute.host-1"),
        ("novella_dead_letters", "compute.host-1"),
        ("novella_reports", "reports.info"),
        ("novella_replies", "reply_"),
    ] {
        assert_refused(key, api.send(exchange, key, plain(), &json!({})).await);
    }
}

async fn queues(broker: &Broker) -> Vec<String> {
    let (_, out, _) = run(broker, &["bus", "--format", "json"]).await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    shown["queues"].as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap().to_owned()).collect()
}

mod on_rabbitmq_and_postgres {
    mod of_its_own {
        use super::super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn a_cloud_whose_services_and_hosts_have_users_of_their_own_does_all_that_it_did() {
            let broker = Broker::start_with_management().await;
            let (mut cloud, _) = cloud_with_users(&broker).await;
            let client = cloud.client().await;
            let id = a_server_on(&client, "host-1").await;
            client.action(&id, json!({ "os-stop": null })).await;
            client.wait_for_status(&id, "SHUTOFF").await;
            client.action(&id, json!({ "os-start": null })).await;
            client.wait_for_status(&id, "ACTIVE").await;
            let console = json!({ "os-getConsoleOutput": { "length": 5 } });
            let (status, body) =
                client.request(reqwest::Method::POST, &format!("/servers/{id}/action"), Some(&console)).await;
            assert!(status.is_success() && body["output"].is_string(), "{status} {body}");
            client.live_migrate(&id, Some("host-2")).await;
            wait_for("the live migration", async || client.host_of(&id).await == "host-2").await;
            client.wait_for_status(&id, "ACTIVE").await;

            // A host sets aside what it can't do, after it has put it back into its queue; and takes it again.
            let cast = ["rpc", "cast", "compute.host-1", "go_faster"];
            assert!(run(&broker, &cast).await.0);
            wait_for("a cast in vain to be set aside", async || dead_letters(&broker).await.len() == 1).await;
            let letter = &dead_letters(&broker).await[0];
            assert_eq!((&letter["queue"], &letter["doubtful"]), (&json!("compute.host-1"), &json!(false)));
            let (sent, _, err) = run(&broker, &["bus", "retry", "--all"]).await;
            assert!(sent, "{err}");
            wait_for("the letter to come back", async || dead_letters(&broker).await.len() == 1).await;
            // The API's own user sees the queues and what was set aside, sends a command again, and deletes.
            let ask = async |method: reqwest::Method, path: &str, body: Value| {
                let url = format!("{}/cloud/v1{path}", cloud.endpoint);
                let request = reqwest::Client::new().request(method, url).header("x-auth-token", client.token_text());
                let request = if body.is_null() { request } else { request.json(&body) };
                let answer = request.send().await.unwrap();
                (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
            };
            let (status, bus) = ask(reqwest::Method::GET, "/bus", Value::Null).await;
            assert_eq!(status, 200, "{bus}");
            assert!(bus["bus"]["queues"].as_array().unwrap().iter().any(|it| it["name"] == "compute.host-1"), "{bus}");
            let letters = async || {
                let (status, listed) = ask(reqwest::Method::GET, "/bus/dead-letters", Value::Null).await;
                assert_eq!(status, 200, "{listed}");
                listed["dead_letters"].as_array().unwrap().clone()
            };
            let dispose = async |how: &str, letter: &Value| {
                let chosen = json!([{"id": letter["id"], "queue": letter["queue"]}]);
                ask(reqwest::Method::POST, "/bus/dead-letters/action", json!({ how: { "letters": chosen } })).await
            };
            let before = letters().await;
            assert_eq!((before.len(), &before[0]["method"]), (1, &json!("go_faster")), "{before:?}");
            let (status, sent) = dispose("retry", &before[0]).await;
            assert_eq!((status, &sent["disposed"]["count"]), (200, &json!(1)), "{sent}");
            wait_for("the letter to come back once more", async || {
                letters().await.first().is_some_and(|letter| letter["time"] != before[0]["time"])
            })
            .await;
            let (status, gone) = dispose("drop", &letters().await[0]).await;
            assert_eq!((status, &gone["disposed"]["count"]), (200, &json!(1)), "{gone}");
            assert_eq!(letters().await, Vec::<Value>::new());
            // What is no command it can't send again, and says so.
            let operator = Attacker::new(&broker.url(), Vec::new()).await;
            operator.send("", "reports.info", plain(), &json!({"no": "report"})).await.unwrap();
            wait_for("what is no report to be set aside", async || letters().await.len() == 1).await;
            let (status, refused) = dispose("retry", &letters().await[0]).await;
            assert_eq!((status, &refused["disposed"]["count"]), (200, &json!(0)), "{refused}");
            assert!(refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
            let (_, gone) = dispose("drop", &letters().await[0]).await;
            assert_eq!(gone["disposed"]["count"], 1, "{gone}");

            // What is on the way when a host or a conductor is killed is done by it, or by another.
            let slow = client.create("in the middle", json!({ "fake:build_seconds": "2" })).await;
            for name in HOSTS.into_iter().chain(["conductor-1", "scheduler-1"]) {
                cloud.process(name).kill();
                cloud.process(name).restart();
            }
            client.wait_for_status(&slow, "ACTIVE").await;
            cloud.assert_claims_add_up().await;

            // A second grant changes no password, and whoever has no right any more is out.
            let (granted, out, err) = run(&broker, &["bus", "grant", "host-3"]).await;
            assert!(granted && out.contains("with the password that it has"), "{out}{err}");
            let (_, out, err) = run(&broker, &["bus", "revoke", "novella"]).await;
            assert!(out.contains("user compute.novella is not there"), "{out}{err}");
            assert!(run(&broker, &["bus", "revoke", "host-3"]).await.1.contains("deleted"));
            wait_for("a host without a user to be down", async || {
                let list = client.get("/os-services?binary=nova-compute&host=host-3").await;
                list["services"][0]["state"] == "down"
            })
            .await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn with_the_credential_of_one_host_nobody_becomes_another() {
            let broker = Broker::start_with_management().await;
            let (cloud, users) = cloud_with_users(&broker).await;
            let client = cloud.client().await;
            let victim = a_server_on(&client, "host-2").await;
            // The reply queues are there by now.
            let host = Attacker::new(&users["host-1"], queues(&broker).await).await;
            let capacity = async || {
                let all = client.get("/os-hypervisors/detail").await;
                all["hypervisors"].as_array().unwrap().iter().map(|it| it["vcpus"].as_i64().unwrap()).sum::<i64>()
            };
            let before = capacity().await;

            reads_purges_deletes_and_binds_nothing_of_others(&host).await;
            taps_neither_reports_nor_answers_nor_the_commands_to_others(&host).await;
            commands_nobody(&host, &victim).await;
            reports_for_nobody_else(&host, &cloud, &victim).await;
            forges_no_answer(&host).await;
            plants_no_letter_that_hits_others(&host, &broker, &victim).await;
            let api = Attacker::new(&users["api"], queues(&broker).await).await;
            the_apis_user_settles_dead_letters_and_reads_and_forges_nothing(&api).await;

            // Nothing has happened to anybody, and nothing does.
            for _ in 0..2 {
                let server = client.server(&victim).await;
                assert_eq!((&server["status"], &server["OS-EXT-STS:power_state"]), (&json!("ACTIVE"), &json!(1)));
                let list = client.get("/os-services?binary=nova-compute&host=host-2").await;
                assert_eq!(list["services"][0]["state"], "up", "{list}");
                assert_eq!(capacity().await, before);
                client.live_migrate(&victim, None).await;
                client.wait_for_status(&victim, "ACTIVE").await;
                let back = client.host_of(&victim).await;
                if back != "host-2" {
                    client.live_migrate(&victim, Some("host-2")).await;
                    wait_for("the way back", async || client.host_of(&victim).await == "host-2").await;
                    client.wait_for_status(&victim, "ACTIVE").await;
                }
            }

            // The same command has its effect from somebody who may give it.
            let operator = Attacker::new(&broker.url(), Vec::new()).await;
            operator.send("novella", "compute.host-2", plain(), &stop(&victim)).await.unwrap();
            let instance = format!("instance={victim}");
            wait_for("the guest to stop", async || {
                let asked = ["rpc", "call", "compute.host-2", "get_diagnostics", &instance, "--rpc-version", "1.3"];
                let (answered, out, err) = run(&broker, &asked).await;
                assert!(answered, "{err}");
                serde_json::from_str::<Value>(&out).unwrap()["power_state"] == 4
            })
            .await;
        }
    }
}
