#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "tests"))]

pub mod contract;

mod client;
mod dead_letters;
mod endpoint;
mod error;
mod excerpt;
mod failure;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod inspection;
mod latest_ids;
pub mod metrics;
mod notify;
mod permissions;
mod serializer;
mod server;
mod target;
pub mod trace;
mod transport;
mod wire;

pub use client::{ClientService, Outgoing, RequestKind, RpcClient};
pub use dead_letters::{DeadLetter, DeadLetterAction, DisposedLetters};
pub use endpoint::{Endpoint, Outcome, Request};
pub use error::{CallError, MessagingError, RpcError};
pub use excerpt::Excerpt;
pub use inspection::{BindingReport, BusReport, ExchangeReport, QueueReport};
pub use notify::{Batch, Notification, NotificationListener, NotificationListenerBuilder, Notifier, Priority};
#[doc = include_str!("contract.md")]
pub use novella_messaging_macros::contract;
pub use permissions::{Permissions, TopicPermission};
pub use serializer::Serializer;
pub use server::{RpcServer, RpcServerBuilder, ServerService};
pub use target::{Target, Version};
pub use transport::{Health, Transport, TransportOptions};
pub use wire::Failure;
