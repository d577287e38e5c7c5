//! The broker's users of the services: each does what its service does, and no more.
//!
//! They are made through RabbitMQ's management API, which works from another machine than the broker's and is what
//! `novella bus` uses anyway. For a broker without it the same can be had as commands for `rabbitmqctl`.

use novella_common::reports;
use novella_compute::rpcapi::{ComputeClient, ComputeControlClient};
use novella_conductor::rpcapi::ConductorClient;
use novella_messaging::{DeadLetter, Permissions};
use novella_scheduler::rpcapi::SchedulerClient;

/// A name in a virtual host's policies.
const POLICY: &str = "novella-dead-letters";

/// Who is granted something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grantee {
    Api,
    Scheduler,
    Conductor,
    /// A compute host, by its name.
    Host(String),
}

impl Grantee {
    /// The service of this name, or else the host.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "api" => Self::Api,
            "scheduler" => Self::Scheduler,
            "conductor" => Self::Conductor,
            host => Self::Host(host.to_owned()),
        }
    }

    /// The broker's user. A host's has a prefix, so that a host of any name can't be mistaken for a service, nor for
    /// whoever looks after the broker.
    pub(crate) fn user(&self) -> String {
        match self {
            Self::Api => "api".to_owned(),
            Self::Scheduler => SchedulerClient::TOPIC.to_owned(),
            Self::Conductor => reports::CONDUCTOR_USER.to_owned(),
            Self::Host(host) => reports::host_user(host),
        }
    }

    /// What it needs on a bus with this control exchange.
    pub(crate) fn permissions(&self, exchange: &str) -> Permissions {
        let reports = reports::exchange(exchange);
        let permissions = Permissions::default();
        match self {
            Self::Api => permissions.calls(exchange).settles_dead_letters(),
            Self::Scheduler => permissions.serves(exchange, SchedulerClient::TOPIC).calls(exchange),
            Self::Conductor => permissions
                .serves(exchange, ConductorClient::TOPIC)
                .calls(exchange)
                .listens(&[exchange, &reports], reports::TOPIC)
                .sends(&reports),
            Self::Host(host) => {
                let (compute, control, host) = (
                    Permissions::exactly(ComputeClient::TOPIC),
                    Permissions::exactly(ComputeControlClient::TOPIC),
                    Permissions::exactly(host),
                );
                // The identity that `control_server` puts behind a host's name: not just anything, or `a` would be let
                // into the queues of `a.b`.
                let identity = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
                let queues = format!(r"({compute}\.{host}|{control}\.{host}(\.{identity})?)");
                permissions.serves_alone(exchange, &queues).sends(&reports)
            }
        }
    }
}

/// The policy that bounds the dead letters also where an earlier version declared their queue without a bound: its
/// pattern and its definition.
pub(crate) fn dead_letters_policy() -> (&'static str, String, serde_json::Value) {
    let (messages, bytes) = (DeadLetter::MAX_KEPT, DeadLetter::MAX_KEPT_BYTES);
    let definition = serde_json::json!({ "max-length": messages, "max-length-bytes": bytes });
    (POLICY, format!("^{}$", Permissions::exactly(DeadLetter::QUEUE)), definition)
}

/// The same as commands for `rabbitmqctl`; with a password that is asked for, unless one is given.
pub(crate) fn as_commands(grantee: &Grantee, permissions: &Permissions, vhost: &str) -> String {
    let user = quoted(&grantee.user());
    let vhost = quoted(vhost);
    let mut lines = vec![
        format!("rabbitmqctl add_user {user}"),
        format!(
            "rabbitmqctl set_permissions --vhost {vhost} {user} {} {} {}",
            quoted(&permissions.configure()),
            quoted(&permissions.write()),
            quoted(&permissions.read())
        ),
    ];
    for topic in permissions.topics() {
        lines.push(format!(
            "rabbitmqctl set_topic_permissions --vhost {vhost} {user} {} {} {}",
            quoted(&topic.exchange),
            quoted(&topic.write),
            quoted(&topic.read)
        ));
    }
    lines.join("\n")
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn host(name: &str) -> Permissions {
        Grantee::named(name).permissions("novella")
    }

    fn permits(expression: &str, name: &str) -> bool {
        !expression.is_empty() && Regex::new(expression).unwrap().is_match(name)
    }

    const IDENTITY: &str = "6a9a59f5-2b44-4c8a-b1a5-7e9d7a0a4c11";

    #[test]
    fn a_host_has_its_own_queues_and_those_of_no_other_host_whatever_their_names() {
        let control = format!("compute-control.host-1.{IDENTITY}");
        let own = ["compute.host-1", "compute-control.host-1", &control, "again_compute.host-1"];
        let (configure, write, read) = (host("host-1").configure(), host("host-1").write(), host("host-1").read());
        for name in own {
            assert!([&configure, &write, &read].iter().all(|expression| permits(expression, name)), "{name}");
        }
        assert!(permits(&configure, "begun_compute.host-1_0f6f00ff_2"));
        let others = [
            "compute.host-10",
            "compute.host-1.example.org",
            "compute.host_1",
            "compute.host-1_2",
            "compute",
            "compute_fanout",
            "conductor",
            "reports.info",
            "dead_letters",
            "begun_compute.host-2_0f_2",
            "begun_compute.host-1_0f_2_0f_2",
            "again_compute.host-2",
            "amq.default",
            "reply_0123456789abcdef0123456789abcdef",
        ];
        for name in others {
            assert!([&configure, &write, &read].iter().all(|expression| !permits(expression, name)), "{name}");
        }
        // It binds its queues to the commands, and sends none.
        assert!(permits(&read, "novella") && !permits(&write, "novella") && !permits(&configure, "novella"));
        // It sends reports and answers, and hears none.
        for name in ["novella_reports", "novella_replies", "novella_dead_letters"] {
            assert!(permits(&write, name) && !permits(&read, name) && !permits(&configure, name), "{name}");
        }
    }

    #[test]
    fn a_host_binds_to_no_commands_but_its_own() {
        let permissions = host("host-1");
        let commands = permissions.topics().iter().find(|topic| topic.exchange == "novella").unwrap();
        assert_eq!(commands.write, "");
        assert!(permits(&commands.read, "compute.host-1"));
        for key in ["compute.host-2", "compute.#", "#", "*.host-1", "compute", "conductor", "compute.host-1.#"] {
            assert!(!permits(&commands.read, key), "{key}");
        }
    }

    #[test]
    fn a_service_commands_and_reads_only_what_is_its_own() {
        let api = Grantee::Api.permissions("novella");
        assert!(permits(&api.write(), "novella") && permits(&api.read(), &format!("reply_{}", "0f".repeat(16))));
        for name in ["conductor", "scheduler", "compute.host-1", "reports.info", "amq.default", "novella_dead_letters"]
        {
            assert!(!permits(&api.read(), name) && !permits(&api.write(), name), "{name}");
        }
        // It takes from what was set aside, and sets nothing aside, nor deletes or binds the queue of that.
        let letters = "dead_letters";
        assert!(
            permits(&api.read(), letters) && !permits(&api.write(), letters) && !permits(&api.configure(), letters)
        );
        let conductor = Grantee::Conductor.permissions("novella");
        for name in ["conductor", "conductor.conductor-1", "reports.info", "conductor_fanout_0f"] {
            assert!(permits(&conductor.read(), name), "{name}");
        }
        assert!(!permits(&conductor.read(), "scheduler") && !permits(&conductor.read(), "compute.host-1"));
    }

    #[test]
    fn what_a_shell_reads_stays_one_word() {
        let commands = as_commands(&Grantee::named("it's"), &host("it's"), "/");
        assert!(commands.starts_with("rabbitmqctl add_user 'compute.it'\\''s'\n"), "{commands}");
    }
}
