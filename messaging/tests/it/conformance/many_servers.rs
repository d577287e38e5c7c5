//! Many servers on one transport: more than one connection has channels for.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use novella_messaging::{Health, RpcServer, Transport, TransportOptions};
use novella_testing::{Broker, Vhost};

use crate::conformance::support::*;
use novella_testing::{Network, Proxy};

/// A client that asks the broker for no more than this many channels on a connection.
async fn connect(url: &str, channel_max: usize) -> Transport {
    Transport::connect(&format!("{url}?channel_max={channel_max}"), TransportOptions::default()).await.unwrap()
}

async fn serve_many(workers: &Workers, transport: &Transport, count: usize) -> Vec<RpcServer> {
    let starting = (0..count).map(|number| async move { workers.serve(transport, &format!("host-{number}")).await });
    stream::iter(starting.collect::<Vec<_>>()).buffered(32).collect().await
}

async fn until_healthy(transport: &Transport) {
    eventually(async || match transport.health() {
        Health::Connected => Ok(()),
        other => Err(other),
    })
    .await;
}

/// Each of them does what it is asked for, sooner or later.
async fn until_all_serve(client: &WorkClient, count: usize) {
    for number in 0..count {
        let server = client.server(format!("host-{number}"));
        eventually(async || server.echo(&context(), number.to_string()).await.map(drop)).await;
    }
}

/// How many channels each connection to the virtual host has.
async fn channels(vhost: &Vhost) -> Vec<u64> {
    let connections = vhost.list(&["vhosts", vhost.name(), "connections"]).await;
    connections.iter().map(|connection| connection["channels"].as_u64().unwrap_or_default()).collect()
}

pub async fn hundreds_of_servers_come_up_on_as_many_connections_as_their_channels_need(vhost: &Vhost) {
    const SERVERS: usize = 300;
    const CHANNEL_MAX: u64 = 64;
    let mut workers = Workers::new();
    let transport = connect(vhost.url(), 64).await;
    let mut servers = serve_many(&workers, &transport, SERVERS).await;
    assert_eq!(transport.health(), Health::Connected);
    let client = WorkClient::new(&transport);
    client.ring(&context(), "ding".into()).await.unwrap();
    let mut reached = BTreeSet::new();
    while reached.len() < SERVERS {
        assert!(reached.insert(workers.next().await.0));
    }
    // The broker counts a moment later.
    eventually(async || {
        let channels = channels(vhost).await;
        assert!(channels.iter().all(|count| *count <= CHANNEL_MAX), "{channels:?}");
        let enough = channels.iter().sum::<u64>() >= SERVERS as u64;
        if enough { Ok(()) } else { Err(channels) }
    })
    .await;

    // Connections go with the last of their servers; what remains is not disturbed.
    let stopping = servers.split_off(10).into_iter().map(|server| server.stop(NO_GRACE));
    stream::iter(stopping.collect::<Vec<_>>()).buffer_unordered(32).collect::<()>().await;
    until_all_serve(&client, 10).await;
    eventually(async || match channels(vhost).await {
        // One to send, one to consume.
        few if few.len() == 2 => Ok(()),
        more => Err(more),
    })
    .await;
    assert_eq!(transport.health(), Health::Connected);
}

pub async fn each_of_many_connections_recovers_with_its_servers(vhost: &Vhost) {
    const SERVERS: usize = 12;
    let workers = Workers::new();
    let proxy = Proxy::before(vhost.url()).await;
    let transport = connect(proxy.url(), 8).await;
    let _servers = serve_many(&workers, &transport, SERVERS).await;
    let connections = proxy.connections();
    assert!(connections >= 4, "{connections} connections");
    let client = WorkClient::new(&transport);
    until_all_serve(&client, SERVERS).await;

    proxy.set(Network::Down);
    eventually(async || match transport.health() {
        Health::Reconnecting { .. } => Ok(()),
        other => Err(other),
    })
    .await;
    proxy.set(Network::Up);
    until_all_serve(&client, SERVERS).await;
    until_healthy(&transport).await;
    assert!(proxy.connections() >= 2 * connections, "{} connections", proxy.connections());
}

/// What a connection may have is agreed on with the broker when it is made; an operator may have changed it meanwhile.
pub async fn a_broker_that_permits_fewer_channels_than_before_is_given_more_connections() {
    const SERVERS: usize = 20;
    let broker = Broker::start("").await;
    let workers = Workers::new();
    let transport = Transport::connect(&broker.url(), TransportOptions::default()).await.unwrap();
    let _servers = serve_many(&workers, &transport, SERVERS).await;
    let client = WorkClient::new(&transport);
    until_all_serve(&client, SERVERS).await;
    broker.control(&["eval", "application:set_env(rabbit, channel_max, 8)."]).await;
    broker.control(&["close_all_connections", "fewer channels"]).await;
    until_all_serve(&client, SERVERS).await;
    until_healthy(&transport).await;
}
