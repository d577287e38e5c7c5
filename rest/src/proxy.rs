//! Proxies in front: which of them are trusted, and what those say of how a client has reached them.
//!
//! `Forwarded` (RFC 7239) counts before `X-Forwarded-Proto` and `X-Forwarded-Host`, and `X-Forwarded-Prefix` beside either,
//! as in oslo.middleware (`http_proxy_to_wsgi`). Of several values the first counts: that of the proxy nearest to the
//! client, which must not let through what the client itself says. From any other address these headers are ignored.
//!
//! Who the client is, for limits, is said by `for` in `Forwarded`, else by `X-Forwarded-For`. There the last counts that is
//! no trusted proxy's own: each proxy has added whom it saw, and what stands before that anybody may have written.

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
use novella_common::service::ClientAddress;
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
    match peer(parts) {
        Some(peer) if is_trusted(&peer, trusted) => read(&parts.headers),
        _ => Forwarded::default(),
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // A socket for both families shows IPv4 addresses as IPv6.
    peer.map(|ConnectInfo(address)| address.ip().to_canonical())
}

fn is_trusted(address: &IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.0.contains(address))
}

/// Whose request this is: the one that sent it, or whom the trusted proxies saw that passed it on.
pub(crate) fn client_address(parts: &Parts, trusted: &[Network]) -> ClientAddress {
    let Some(mut client) = peer(parts) else { return ClientAddress::NONE };
    let mut passed = passed_by(&parts.headers);
    while is_trusted(&client, trusted)
        && let Some(Some(before)) = passed.pop()
    {
        client = before;
    }
    client.into()
}

/// Whom the proxies on the way say that they saw, the last at the end; `None`: one that hides it.
fn passed_by(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values =
        |name: &str| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let forwarded = values("forwarded");
    if !forwarded.is_empty() {
        let elements = forwarded.into_iter().flat_map(elements);
        return elements.map(|element| node(element.seen.as_deref()?)).collect();
    }
    values("x-forwarded-for")
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(|address| node(address.trim()))
        .collect()
}

/// An address as it stands in these headers: with a port or without, IPv6 in brackets or, without a port, as it is.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

fn read(headers: &HeaderMap) -> Forwarded {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(|value| value.trim().to_owned())
    };
    let element = headers.get("forwarded").and_then(|value| value.to_str().ok());
    let element = element.map(|value| elements(value).into_iter().next().unwrap_or_default());
    let (scheme, host) = match element {
        Some(element) => (element.proto, element.host),
        None => (first("x-forwarded-proto"), first("x-forwarded-host")),
    };
    let scheme = scheme.map(|scheme| scheme.to_ascii_lowercase());
    Forwarded {
        scheme: scheme.filter(|scheme| matches!(scheme.as_str(), "http" | "https")),
        host: host.filter(|host| is_host(host)),
        prefix: first("x-forwarded-prefix").and_then(|prefix| path_prefix(&prefix)).unwrap_or_default(),
    }
}

/// What one proxy says in a `Forwarded` header.
#[derive(Default)]
struct Element {
    proto: Option<String>,
    host: Option<String>,
    /// `for`.
    seen: Option<String>,
}

fn elements(value: &str) -> Vec<Element> {
    let (mut all, mut element) = (Vec::new(), Element::default());
    let (mut pair, mut quoted) = (String::new(), false);
    let take = |pair: &mut String, element: &mut Element| {
        let pair = std::mem::take(pair);
        match pair.split_once('=').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())) {
            Some((name, value)) if name == "proto" => element.proto = Some(value),
            Some((name, value)) if name == "host" => element.host = Some(value),
            Some((name, value)) if name == "for" => element.seen = Some(value),
            _ => {}
        }
    };
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => pair.extend(characters.next()),
            ';' if !quoted => take(&mut pair, &mut element),
            ',' if !quoted => {
                take(&mut pair, &mut element);
                all.push(std::mem::take(&mut element));
            }
            other => pair.push(other),
        }
    }
    take(&mut pair, &mut element);
    all.push(element);
    all
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

    fn parts(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        parts
    }

    fn trusted() -> [Network; 2] {
        ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]
    }

    fn asked(peer: &str, headers: &[(&str, &str)]) -> Forwarded {
        forwarded(&parts(peer, headers), &trusted())
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
    fn the_client_is_the_last_address_that_is_no_trusted_proxys_own() {
        let client =
            |peer: &str, headers: &[(&str, &str)]| client_address(&parts(peer, headers), &trusted()).to_string();
        // What stands before it was written by the client.
        let passed = [("x-forwarded-for", "203.0.113.9, 192.0.2.7"), ("x-forwarded-for", "10.0.0.9")];
        assert_eq!(client("10.1.2.3:4", &passed), "192.0.2.7");
        assert_eq!(client("198.51.100.7:4", &passed), "198.51.100.7");
        assert_eq!(client("10.1.2.3:4", &[]), "10.1.2.3");
        assert_eq!(client("10.1.2.3:4", &[("x-forwarded-for", "192.0.2.7, unknown")]), "10.1.2.3");
        let standard = [
            ("forwarded", "for=203.0.113.9, for=\"[2001:db8:1:2:3::7]:4711\";proto=https, For=10.9.9.9:80"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(client("[::1]:4", &standard), "2001:db8:1:2::");
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
