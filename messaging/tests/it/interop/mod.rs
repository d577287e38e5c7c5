//! Services in Rust and services in Python on one bus: this crate and the real oslo.messaging, from PyPI, use each other
//! in every role. Shown for each of the ways in which queues can be declared.

mod notifications;
mod peer;
mod python_calls_rust;
mod rust_calls_python;
mod work;

use novella_messaging::{Transport, TransportOptions};
use novella_testing::Vhost;

use crate::interop::peer::Peer;

/// How those on a bus have agreed to declare queues.
#[derive(Debug, Clone, Copy)]
enum Queues {
    /// The default here.
    Durable,
    Quorum,
    /// Also for answers and fanouts.
    QuorumThroughout,
    /// oslo.messaging's default.
    Transient,
    /// They go with their last user, and the broker drops what it delivered too often.
    Passing,
}

/// A bus of one test's own.
struct Bus {
    vhost: Vhost,
    queues: Queues,
}

impl Bus {
    async fn create(queues: Queues) -> Self {
        Self { vhost: Vhost::create().await, queues }
    }

    fn options(&self) -> TransportOptions {
        let options = TransportOptions::default();
        match self.queues {
            Queues::Durable => options,
            Queues::Quorum => TransportOptions { rabbit_quorum_queue: true, ..options },
            Queues::QuorumThroughout => TransportOptions {
                rabbit_quorum_queue: true,
                rabbit_transient_quorum_queue: true,
                rabbit_quorum_delivery_limit: 7,
                ..options
            },
            Queues::Transient => TransportOptions { amqp_durable_queues: false, ..options },
            Queues::Passing => TransportOptions { amqp_durable_queues: false, amqp_auto_delete: true, ..options },
        }
    }

    /// The Rust side.
    async fn connect(&self) -> Transport {
        Transport::connect(self.vhost.url(), self.options()).await.unwrap()
    }

    /// The Python side.
    async fn python(&self) -> Peer {
        self.python_with(&[]).await
    }

    async fn python_with(&self, flags: &[&str]) -> Peer {
        let queues: &[&str] = match self.queues {
            Queues::Durable => &["--durable"],
            Queues::Quorum => &["--quorum"],
            Queues::QuorumThroughout => &["--quorum", "--transient-quorum", "--delivery-limit", "7"],
            Queues::Transient => &[],
            Queues::Passing => &["--auto-delete"],
        };
        Peer::start(self.vhost.url(), &self.options().control_exchange, &[queues, flags].concat()).await
    }
}

/// The behaviours as tests with one way to declare queues.
macro_rules! suite {
    ($queues:ident) => {
        suite! { $queues, python_calls_rust:
            a_python_client_gets_a_rust_servers_answer
            values_of_every_kind_survive_the_way_from_python_and_back
            the_context_arrives_from_python_without_the_token
            a_python_client_reaches_a_topic_a_server_or_all_servers_in_rust
            a_python_client_chooses_between_namespaces_and_versions_in_rust
            a_rust_error_is_a_remote_error_in_python
            a_rust_error_is_the_python_clients_own_exception_if_it_allows_the_module
            a_rust_panic_is_a_runtime_error_in_python
            what_a_rust_server_does_not_serve_is_an_error_in_python_that_says_so
            a_rust_server_gives_a_python_client_signs_of_life
            a_python_client_notices_that_a_rust_server_died
            a_rust_server_answers_pings_from_python
            a_rust_server_understands_old_envelopes_and_unknown_fields
            a_rust_server_sets_aside_what_it_cannot_read_and_goes_on
            a_rust_and_a_python_server_share_a_topic
        }
        suite! { $queues, rust_calls_python:
            a_rust_client_gets_a_python_servers_answer
            values_of_every_kind_survive_the_way_from_rust_and_back
            the_context_arrives_from_rust_without_the_token
            what_rust_tells_of_its_trace_is_in_headers_that_python_ignores
            a_rust_client_reaches_a_topic_a_server_or_all_servers_in_python
            a_rust_client_chooses_between_namespaces_and_versions_in_python
            a_python_exception_reaches_a_rust_client_with_all_that_is_known_of_it
            a_python_exception_of_the_contracts_module_is_the_rust_clients_own_error
            what_a_python_server_does_not_serve_is_an_error_of_its_own_in_rust
            a_python_server_gives_a_rust_client_signs_of_life
            a_rust_client_notices_that_a_python_server_died
            a_python_server_answers_pings_from_rust_if_it_is_told_to
            a_call_to_a_topic_that_no_python_server_has_is_unroutable_at_once
            a_rust_client_waits_for_a_python_server_no_longer_than_it_said
        }
        suite! { $queues, notifications:
            a_rust_listener_hears_what_python_notifies
            a_rust_listener_hears_every_priority_and_either_format_from_python
            a_rust_listener_gives_back_what_python_notified_and_hears_it_again
            a_python_listener_hears_what_rust_notifies
            a_python_listener_gives_back_what_rust_notified_and_hears_it_again
            each_pool_hears_everything_whatever_its_language
            a_rust_and_a_python_listener_share_a_pool
        }
    };
    ($queues:ident, $module:ident: $($behaviour:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                crate::interop::$module::$behaviour(&crate::interop::Bus::create(crate::interop::Queues::$queues).await).await;
            }
        )*
    };
}

mod durable {
    mod on_rabbitmq {
        suite!(Durable);
    }
}

mod quorum {
    mod on_rabbitmq {
        suite!(Quorum);
    }
}

mod transient {
    mod on_rabbitmq {
        suite!(Transient);
    }
}

/// What the declarations of queues and exchanges bear on: that both sides agree on them.
macro_rules! agreement {
    ($queues:ident) => {
        suite! { $queues, python_calls_rust:
            a_python_client_gets_a_rust_servers_answer
            a_python_client_reaches_a_topic_a_server_or_all_servers_in_rust
            a_rust_and_a_python_server_share_a_topic
        }
        suite! { $queues, rust_calls_python:
            a_rust_client_gets_a_python_servers_answer
            a_rust_client_reaches_a_topic_a_server_or_all_servers_in_python
        }
        suite! { $queues, notifications:
            a_rust_listener_hears_what_python_notifies
            a_python_listener_hears_what_rust_notifies
        }
    };
}

mod quorum_throughout {
    mod on_rabbitmq {
        agreement!(QuorumThroughout);
    }
}

mod passing {
    mod on_rabbitmq {
        agreement!(Passing);
    }
}
