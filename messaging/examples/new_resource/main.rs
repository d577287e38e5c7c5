//! A service in three files: `rpcapi.rs` (read it first), `manager.rs`, `api.rs`. The crate's README walks through it.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a command-line program")]

mod api;
mod manager;
mod rpcapi;

use novella_messaging::{RpcServer, Target, Transport, TransportOptions};

#[derive(clap::Parser)]
struct Arguments {
    #[arg(long, default_value = "memory://", help = "memory:// or amqp://user:password@host/vhost")]
    bus: String,
    #[arg(long, default_value_t = 8080)]
    port: u16,
    #[arg(default_values = ["api", "manager"], value_parser = ["api", "manager"])]
    roles: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { bus, port, roles } = clap::Parser::parse();
    let transport = Transport::connect(&bus, TransportOptions::default()).await?;
    let endpoint = rpcapi::NewResourceEndpoint::new(std::sync::Arc::<manager::Manager>::default());
    let server = RpcServer::builder(&transport, Target::new("new_resource").server("host-1")).endpoint(endpoint);
    let server = if roles.contains(&"manager".into()) { Some(server.start().await?) } else { None };
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    if roles.contains(&"api".into()) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        let router = api::router(rpcapi::NewResourceClient::new(&transport));
        axum::serve(listener, router).with_graceful_shutdown(interrupted).await?;
    } else {
        interrupted.await;
    }
    if let Some(server) = server {
        server.stop(std::time::Duration::from_secs(5)).await; // What runs may finish; the rest goes to another manager.
    }
    transport.close().await;
    Ok(())
}
