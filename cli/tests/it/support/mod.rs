//! What the end-to-end tests share: processes, clouds made of them, and a client.

pub mod browser;
pub mod client;
pub mod cloud;
pub mod commands;
pub mod component;
pub mod identity;
pub mod openstackclient;
pub mod ports;
pub mod process;
pub mod terminal;

/// The behaviours as tests, on the cloud in one process and on the one of many. Each is an `async fn` that takes a cloud
/// with these settings.
macro_rules! behaviours {
    ($settings:expr; $($behaviour:ident),* $(,)?) => {
        mod embedded {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() {
                super::$behaviour(Cloud::embedded($settings).await).await;
            })*
        }

        mod on_rabbitmq_and_postgres {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() {
                super::$behaviour(Cloud::apart($settings).await).await;
            })*
        }
    };
}
