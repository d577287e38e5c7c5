//! Puts a service together from `rpcapi.rs` (read it first), `manager.rs` and `api.rs`. The crate's README explains it.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a command-line program")]
mod api;
mod manager;
mod rpcapi;
use novella_messaging::{RpcServer, Target, Transport, TransportOptions};
use rpcapi::{NewResourceClient, NewResourceEndpoint};

#[derive(clap::Parser)]
struct Arguments {
    #[arg(long, default_value = "memory://", help = "memory:// or amqp://user:password@host/vhost")]
    bus: String,
    #[arg(long, default_value_t = 8080)]
    port: u16,
    #[arg(long, default_value = "host-1", help = "the manager's name, another one for each")]
    host: String,
    #[arg(default_values = ["api", "manager"], value_parser = ["api", "manager"])]
    roles: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { bus, port, host, roles } = clap::Parser::parse();
    let transport = Transport::connect(&bus, TransportOptions::default()).await?;
    let endpoint = NewResourceEndpoint::new(std::sync::Arc::<manager::Manager>::default());
    let server = RpcServer::builder(&transport, Target::new(NewResourceClient::TOPIC).server(host)).endpoint(endpoint);
    let server = if roles.contains(&"manager".into()) { Some(server.start().await?) } else { None };
    let ctrl_c = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    if roles.contains(&"api".into()) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, api::router(NewResourceClient::new(&transport))).with_graceful_shutdown(ctrl_c).await?;
    } else {
        ctrl_c.await;
    }
    if let Some(server) = server {
        server.stop(std::time::Duration::from_secs(5)).await; // What runs may finish; the rest goes to another manager.
    }
    transport.close().await;
    Ok(())
}
