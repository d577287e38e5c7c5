//! `[api]` and `[quota]`: the configuration of the REST API.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use novella_common::{
    config::{Secret, seconds},
    service::ConnectionLimits,
};
use novella_rest::{Network, RestConfig, keystone::KeystoneConfig};
use serde::{Deserialize, Serialize};

/// `[api.tls]`: TLS on the API's address. Both unset: none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate (PEM file), with those between it and its authority behind it. Read again on SIGHUP, as is the key.
    pub certificate: Option<PathBuf>,
    /// The private key (PEM file) of the certificate.
    pub key: Option<PathBuf>,
    /// Who has signed the certificate (PEM file), where clients don't know that: `novella up` names it in the `clouds.yaml`
    /// and the `openrc` that it writes.
    pub authority: Option<PathBuf>,
}

/// `[api]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS there.
    pub tls: TlsConfig,
    /// The public base URL, such as `https://cloud.example.org`, for the catalog and the links. Unset: what a trusted
    /// proxy says, or else the client in its `Host` header.
    pub endpoint: Option<String>,
    /// Addresses and networks of proxies, such as `["10.0.0.0/8", "192.0.2.1"]`, that are believed when they say in
    /// `Forwarded` or `X-Forwarded-Proto`, `-Host` and `-Prefix` how a client has reached them. They must not let through
    /// what a client itself says in these headers. From other addresses the headers are ignored. Who the client is, for the
    /// limits below, is the last address in `for` of `Forwarded`, or in `X-Forwarded-For`, that is none of these.
    pub trusted_proxies: Vec<Network>,
    /// Connections at once. When one more comes, the idlest is closed, of the client address that has the most. Unset: three
    /// quarters of the files that the process may open, but no more than 4096. At its start it raises its limit of open
    /// files as far as it may.
    pub max_connections: Option<usize>,
    /// Seconds that a new connection may take until the head of its request is there.
    #[serde(with = "seconds")]
    pub header_timeout: Duration,
    /// Seconds that a connection is kept for a next request.
    #[serde(with = "seconds")]
    pub keep_alive_timeout: Duration,
    /// Seconds that a client may take nothing of its answer.
    #[serde(with = "seconds")]
    pub write_timeout: Duration,
    /// Bytes that a request's body may have; 413 beyond. Nova's and oslo.middleware's default.
    pub max_body_bytes: usize,
    /// Entries that one page of a list may have.
    pub max_limit: u32,
    /// Requests that are worked on at once; those beyond get 503 at once, so that a flood does not queue up unseen.
    pub max_in_flight: usize,
    /// Of `max_in_flight`, requests of one client address; it gets 429 beyond. A proxy that is not among `trusted_proxies`
    /// is one client.
    pub max_in_flight_per_address: usize,
    /// Of `max_in_flight`, requests of one method on one path, whoever asks; those beyond get 503.
    pub max_in_flight_per_route: usize,
    /// Requests that wait at once for an answer of the same compute host; those beyond get 503. While a request waits so, or
    /// for its own body, it does not count as in flight.
    pub max_calls_per_host: usize,
    /// Streams of events (`/cloud/v1/events`) at once, and half as many for one client address; those beyond get 503 or 429.
    pub max_event_streams: usize,
    /// Seconds that the body of a request may take to arrive; 408 beyond.
    #[serde(with = "seconds")]
    pub body_timeout: Duration,
    /// Seconds within which every request is answered, whatever hangs: 503 where nothing can have been changed, otherwise
    /// 504. Longer than `database.acquire_timeout` and `database.statement_timeout` together, which find most of it earlier.
    #[serde(with = "seconds")]
    pub request_timeout: Duration,
    /// Seconds that a token is valid. Keystone's default: clients are made to log in again this often, and a token
    /// that leaked is worth no more.
    #[serde(with = "seconds")]
    pub token_ttl: Duration,
    /// Servers that one request may ask for (`max_count`). They are written in one transaction, which others wait for.
    pub max_servers_per_request: u32,
    /// Whether `/metrics` is on the public port too. It tells strangers how busy the cloud is.
    pub public_metrics: bool,
    /// The URL of an Identity service elsewhere, a Keystone or `novella identity`: `https://keystone.example.org/v3`. Its
    /// tokens are taken, and no Identity is served here.
    pub identity_url: Option<String>,
    /// The user that asks it which tokens are valid. It needs the role `service` there, or `admin`.
    pub identity_user: String,
    /// The name of that user's domain.
    pub identity_user_domain: String,
    /// That user's password.
    pub identity_password: Option<Secret>,
    /// The name of a project in which that user has the role.
    pub identity_project: String,
    /// The name of that project's domain.
    pub identity_project_domain: String,
    /// Who has signed the certificate of `identity_url` (PEM file). Unset: who the system trusts.
    pub identity_authority: Option<PathBuf>,
    /// Seconds that what it has said of a token is believed. A token that is revoked there is refused here after that time
    /// at the latest.
    #[serde(with = "seconds")]
    pub identity_cache_time: Duration,
    /// The URL of a Networking elsewhere, a Neutron or `novella network`: `https://neutron.example.org:9696`; or `catalog`:
    /// where Identity's catalog says. Networks and ports are there, and no Networking is served here. What concerns a user's
    /// request is asked with the user's token; ports of servers are made by `identity_user`, who needs the roles `admin`
    /// and `service`. The same for an API, a scheduler and a conductor.
    pub network_url: Option<String>,
    /// Where `identity_user` gets a token for it. Unset: `identity_url`.
    pub network_identity_url: Option<String>,
    /// Who has signed the certificate of `network_url` (PEM file). Unset: who the system trusts.
    pub network_authority: Option<PathBuf>,
    /// The URL of an Image elsewhere, a Glance or `novella image`: `https://glance.example.org:9292`; or `catalog`: where the
    /// catalog of `identity_url` says. Servers are made of its images, and no Image is served here. It is asked with the
    /// user's token.
    pub image_url: Option<String>,
    /// Who has signed the certificate of `image_url` (PEM file). Unset: who the system trusts.
    pub image_authority: Option<PathBuf>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        let rest = RestConfig::default();
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8774)),
            tls: TlsConfig::default(),
            endpoint: rest.endpoint,
            trusted_proxies: rest.trusted_proxies,
            max_connections: None,
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            max_body_bytes: rest.max_body_bytes,
            max_limit: rest.max_limit,
            max_in_flight: rest.max_in_flight,
            max_in_flight_per_address: rest.max_in_flight_per_address,
            max_in_flight_per_route: rest.max_in_flight_per_route,
            max_calls_per_host: 16,
            max_event_streams: 1024,
            body_timeout: rest.body_timeout,
            request_timeout: rest.request_timeout,
            token_ttl: Duration::from_secs(3600),
            max_servers_per_request: 1000,
            public_metrics: rest.public_metrics,
            identity_url: None,
            identity_user: "nova".to_owned(),
            identity_user_domain: "Default".to_owned(),
            identity_password: None,
            identity_project: "service".to_owned(),
            identity_project_domain: "Default".to_owned(),
            identity_authority: None,
            identity_cache_time: Duration::from_secs(10),
            network_url: None,
            network_identity_url: None,
            network_authority: None,
            image_url: None,
            image_authority: None,
        }
    }
}

impl ApiConfig {
    /// The Identity service elsewhere, if there is to be one.
    #[must_use]
    pub fn keystone(&self) -> Option<KeystoneConfig> {
        self.user_at(self.identity_url.as_ref())
    }

    /// The Identity service whose tokens a Networking elsewhere takes, if one is named.
    #[must_use]
    pub fn network_keystone(&self) -> Option<KeystoneConfig> {
        self.user_at(self.network_identity_url.as_ref().or(self.identity_url.as_ref()))
    }

    /// This service's own user, at this Identity.
    fn user_at(&self, url: Option<&String>) -> Option<KeystoneConfig> {
        Some(KeystoneConfig {
            url: url?.clone(),
            user: self.identity_user.clone(),
            user_domain: self.identity_user_domain.clone(),
            password: self.identity_password.clone().unwrap_or_else(|| Secret::new("")),
            project: self.identity_project.clone(),
            project_domain: self.identity_project_domain.clone(),
            authority: self.identity_authority.clone(),
            cache_time: self.identity_cache_time,
        })
    }

    /// What the listener grants to those who connect.
    #[must_use]
    pub fn connection_limits(&self, max_connections: usize) -> ConnectionLimits {
        ConnectionLimits {
            max_connections,
            header_timeout: self.header_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            write_timeout: self.write_timeout,
        }
    }

    /// What all services on this port share of it.
    #[must_use]
    pub fn rest(&self) -> RestConfig {
        RestConfig {
            endpoint: self.endpoint.clone(),
            tls: self.tls.certificate.is_some(),
            trusted_proxies: self.trusted_proxies.clone(),
            max_body_bytes: self.max_body_bytes,
            max_limit: self.max_limit,
            max_in_flight: self.max_in_flight,
            max_in_flight_per_address: self.max_in_flight_per_address,
            max_in_flight_per_route: self.max_in_flight_per_route,
            body_timeout: self.body_timeout,
            request_timeout: self.request_timeout,
            public_metrics: self.public_metrics,
            identity_url: self.identity_url.clone(),
        }
    }
}

/// `[quota]`: how much a project may have where neither it nor the quota class `default` has a limit of its own. Nova's
/// names and defaults; -1 says that there is no limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaConfig {
    /// Servers of a project.
    pub instances: i64,
    /// Virtual CPUs of a project's servers.
    pub cores: i64,
    /// MiB of memory of a project's servers.
    pub ram: i64,
    /// Pairs of metadata of a server.
    pub metadata_items: i64,
    /// Files that a server is given before it first runs (until microversion 2.56).
    pub injected_files: i64,
    /// Bytes of one of these, in base64.
    pub injected_file_content_bytes: i64,
    /// Bytes of the path of one of these.
    pub injected_file_path_length: i64,
    /// Key pairs of a user.
    pub key_pairs: i64,
    /// Server groups of a project.
    pub server_groups: i64,
    /// Servers that a user may have in one group.
    pub server_group_members: i64,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            instances: 10,
            cores: 20,
            ram: 50 * 1024,
            metadata_items: 128,
            injected_files: 5,
            injected_file_content_bytes: 10 * 1024,
            injected_file_path_length: 255,
            key_pairs: 100,
            server_groups: 10,
            server_group_members: 10,
        }
    }
}

impl QuotaConfig {
    /// Without any limit: for those who make more than a person would.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            instances: -1,
            cores: -1,
            ram: -1,
            metadata_items: -1,
            injected_files: -1,
            injected_file_content_bytes: -1,
            injected_file_path_length: -1,
            key_pairs: -1,
            server_groups: -1,
            server_group_members: -1,
        }
    }
}
