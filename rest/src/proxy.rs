//! Proxies in front: which of them are trusted, and what those say of how a client has reached them.
//!
//! `Forwarded` (RFC 7239) counts before `X-Forwarded-Proto` and `X-Forwarded-Host`, and `X-Forwarded-Prefix` beside either,
//! as in oslo.middleware (`http_proxy_to_wsgi`). Of several values the first counts: that of the proxy nearest to the
//! client, which must not let through what the client itself says. From any other address these headers are ignored.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Addresses that are trusted: a network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| format!("'{text}' is neither an IP address nor a network such as 10.0.0.0/8"))
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a client has reached the proxy in front, as far as that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// `http` or `https`.
    pub(crate) scheme: Option<String>,
    pub(crate) host: Option<String>,
    /// What the proxy has taken off the path: empty, or `/cloud`.
    pub(crate) prefix: String,
}

/// What a trusted proxy says of this request; nothing if it comes from anybody else.
pub(crate) fn forwarded(parts: &Parts, trusted: &[Network]) -> Forwarded {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // A socket for both families shows IPv4 addresses as IPv6.
    let peer = peer.map(|ConnectInfo(address)| address.ip().to_canonical());
    match peer {
        Some(peer) if trusted.iter().any(|network| network.0.contains(&peer)) => read(&parts.headers),
        _ => Forwarded::default(),
    }
}

fn read(headers: &HeaderMap) -> Forwarded {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(|value| value.trim().to_owned())
    };
    let element = headers.get("forwarded").and_then(|value| value.to_str().ok()).map(first_element);
    let (scheme, host) = match element {
        Some(element) => element,
        None => (first("x-forwarded-proto"), first("x-forwarded-host")),
    };
    let scheme = scheme.map(|scheme| scheme.to_ascii_lowercase());
    Forwarded {
        scheme: scheme.filter(|scheme| matches!(scheme.as_str(), "http" | "https")),
        host: host.filter(|host| is_host(host)),
        prefix: first("x-forwarded-prefix").and_then(|prefix| path_prefix(&prefix)).unwrap_or_default(),
    }
}

/// `proto` and `host` of the first element of a `Forwarded` header.
fn first_element(value: &str) -> (Option<String>, Option<String>) {
    let (mut proto, mut host) = (None, None);
    let (mut pair, mut quoted) = (String::new(), false);
    let mut take = |pair: &mut String| {
        let pair = std::mem::take(pair);
        match pair.split_once('=').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())) {
            Some((name, value)) if name == "proto" => proto = Some(value),
            Some((name, value)) if name == "host" => host = Some(value),
            _ => {}
        }
    };
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => pair.extend(characters.next()),
            ';' if !quoted => take(&mut pair),
            ',' if !quoted => break,
            other => pair.push(other),
        }
    }
    take(&mut pair);
    (proto, host)
}

/// Whether a text can stand in a link as its host, and as nothing but that.
pub(crate) fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !text.is_empty() && text.chars().all(plain)
}

fn path_prefix(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~');
    let prefix = text.trim_end_matches('/');
    let fits = prefix.is_empty() || (prefix.starts_with('/') && !prefix.contains("//") && prefix.chars().all(plain));
    fits.then(|| prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn asked(peer: &str, headers: &[(&str, &str)]) -> Forwarded {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        forwarded(&parts, &["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()])
    }

    fn said(scheme: Option<&str>, host: Option<&str>, prefix: &str) -> Forwarded {
        Forwarded { scheme: scheme.map(Into::into), host: host.map(Into::into), prefix: prefix.into() }
    }

    #[test]
    fn only_trusted_addresses_are_believed() {
        let headers = [("x-forwarded-proto", "https"), ("x-forwarded-host", "cloud.example.org")];
        let believed = said(Some("https"), Some("cloud.example.org"), "");
        for peer in ["10.1.2.3:4", "[::ffff:10.1.2.3]:4", "[::1]:4"] {
            assert_eq!(asked(peer, &headers), believed, "{peer}");
        }
        for peer in ["192.0.2.1:4", "[2001:db8::1]:4"] {
            assert_eq!(asked(peer, &headers), Forwarded::default(), "{peer}");
        }
    }

    #[test]
    fn the_standard_header_counts_first_and_of_it_the_first_element() {
        let all = [
            ("forwarded", "for=192.0.2.60;Proto=https;host=\"cloud.example.org:8443\", proto=http;host=inner"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "inner"),
            ("x-forwarded-prefix", "/cloud/"),
        ];
        assert_eq!(asked("10.0.0.1:1", &all), said(Some("https"), Some("cloud.example.org:8443"), "/cloud"));
        let several = [("x-forwarded-proto", "https, http"), ("x-forwarded-host", "a.example.org, b")];
        assert_eq!(asked("10.0.0.1:1", &several), said(Some("https"), Some("a.example.org"), ""));
    }

    #[test]
    fn what_can_not_be_part_of_a_link_is_left_out() {
        let wrong = [
            ("x-forwarded-proto", "javascript"),
            ("x-forwarded-host", "evil.example.org/x?"),
            ("x-forwarded-prefix", "//evil.example.org"),
        ];
        assert_eq!(asked("10.0.0.1:1", &wrong), Forwarded::default());
    }

    #[test]
    fn a_network_is_written_as_one_or_as_an_address() {
        for text in ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"] {
            assert!(text.parse::<Network>().is_ok(), "{text}");
        }
        for text in ["", "10.0.0.0/33", "proxy.example.org", "*"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
