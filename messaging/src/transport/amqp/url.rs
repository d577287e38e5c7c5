//! The transport's URL: one broker, or the nodes of a cluster, as oslo.messaging's `transport_url` names them.
//!
//! `amqp://user:password@host:5672/vhost`, and `rabbit://user:password@host-1:5672,user:password@host-2:5672/vhost?ssl=1`.

use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};

use crate::error::MessagingError;
use crate::transport::TransportOptions;

/// Reads the URL: the brokers in the order in which they are tried. Errors never show it, since it holds the password.
pub(super) fn parse(url: &str, options: &TransportOptions) -> Result<Vec<AMQPUri>, MessagingError> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
    let (hosts, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let encrypted = asks_for_tls(path_and_query)?;
    let scheme = match scheme {
        "amqp" | "rabbit" if encrypted => "amqps",
        "rabbit" => "amqp",
        other => other,
    };
    let hosts: Vec<&str> = match hosts {
        "" => vec![""],
        hosts => hosts.split(',').filter(|host| !host.is_empty()).collect(),
    };
    let has_user = |host: &&str| host.contains('@');
    if hosts.first().is_some_and(|first| !has_user(first)) && hosts.iter().any(has_user) {
        return Err(invalid("a host with a user follows one without; a comma in a password is written %2C"));
    }
    let mut user = None;
    hosts
        .into_iter()
        .map(|host| {
            let (own, address) = match host.rsplit_once('@') {
                Some((own, address)) => (Some(own), address),
                None => (None, host),
            };
            // A host that names no user has the one before it.
            user = own.or(user);
            let user = user.map(|user| format!("{user}@")).unwrap_or_default();
            broker(&format!("{scheme}://{user}{address}{path_and_query}"), address, options)
        })
        .collect()
}

/// The user that all of these brokers are reached as.
pub(super) fn user(brokers: &[AMQPUri]) -> Option<ShortString> {
    let mut users = brokers.iter().map(|broker| broker.authority.userinfo.username.as_str());
    let first = users.next()?;
    users.all(|user| user == first).then(|| ShortString::try_new(first).ok()).flatten()
}

fn invalid(reason: &str) -> MessagingError {
    MessagingError::InvalidUrl { reason: reason.to_owned() }
}

/// oslo.messaging's `?ssl=1`, by any word of its configuration for yes.
fn asks_for_tls(path_and_query: &str) -> Result<bool, MessagingError> {
    let query = path_and_query.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').find_map(|pair| pair.strip_prefix("ssl=")).map(str::to_lowercase).as_deref() {
        None | Some("0" | "false" | "no" | "off") => Ok(false),
        Some("1" | "true" | "yes" | "on") => Ok(true),
        Some(_) => Err(invalid("its `ssl` is neither 1 nor 0")),
    }
}

/// Bytes in a frame, where the URL does not say `?frame_max=`. The client keeps 64 times as much for each connection:
/// with RabbitMQ's default of 128 KiB that is 8 MiB. Few messages are longer; those go in several frames.
const FRAME_MAX: u32 = 16 * 1024;

fn broker(url: &str, address: &str, options: &TransportOptions) -> Result<AMQPUri, MessagingError> {
    let mut uri: AMQPUri = url
        .parse()
        .map_err(|error: String| if error.contains(url) { invalid("it is no URL") } else { invalid(&error) })?;
    if uri.vhost.is_empty() {
        // As oslo.messaging reads it.
        uri.vhost = "/".into();
    }
    if let Some((address, _)) = address.strip_prefix('[').and_then(|address| address.split_once(']')) {
        // The parser takes an IPv6 address for no host at all.
        uri.authority.host = address.to_owned();
    }
    if uri.scheme == AMQPScheme::AMQPS && uri.authority.host.is_empty() {
        return Err(invalid("amqps needs a host name, for the broker's certificate"));
    }
    // A side is dead that said nothing for two heartbeats.
    let seconds = options.heartbeat_timeout_threshold.as_secs().div_ceil(2).clamp(1, u16::MAX.into());
    uri.query.heartbeat = uri.query.heartbeat.or(u16::try_from(seconds).ok());
    uri.query.frame_max = uri.query.frame_max.or(Some(FRAME_MAX));
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(url: &str) -> Vec<AMQPUri> {
        parse(url, &TransportOptions::default()).unwrap()
    }

    fn hosts(url: &str) -> Vec<(String, u16, String)> {
        let host = |uri: AMQPUri| (uri.authority.host, uri.authority.port, uri.authority.userinfo.username);
        read(url).into_iter().map(host).collect()
    }

    #[test]
    fn an_empty_path_is_the_default_virtual_host() {
        for url in ["amqp://h", "amqp://h/", "amqp://h//", "amqp://h/%2f", "amqp://h?heartbeat=1", "rabbit://h"] {
            assert_eq!(read(url)[0].vhost, "/", "{url}");
        }
        assert_eq!(read("amqp://h/test-1")[0].vhost, "test-1");
    }

    #[test]
    fn an_ipv6_address_is_a_host() {
        assert_eq!(hosts("amqp://u:p@[::1]:5673/v"), [("::1".into(), 5673, "u".into())]);
    }

    #[test]
    fn the_nodes_of_a_cluster_share_virtual_host_and_options_and_may_share_a_user() {
        let url = "rabbit://u:p@h1:5671,w:q@h2,h3/v?heartbeat=7";
        let expected =
            [("h1".into(), 5671, "u".into()), ("h2".into(), 5672, "w".into()), ("h3".into(), 5672, "w".into())];
        assert_eq!(hosts(url), expected);
        assert!(read(url).iter().all(|uri| uri.vhost == "v" && uri.query.heartbeat == Some(7)));
    }

    #[test]
    fn the_user_is_known_if_it_is_the_same_everywhere() {
        let user = |url: &str| user(&read(url)).map(|user| user.to_string());
        assert_eq!(user("amqp://compute.host-1:p@h1,h2/v").as_deref(), Some("compute.host-1"));
        assert_eq!(user("amqp://u%40x:p@h1/v").as_deref(), Some("u@x"));
        assert_eq!(user("amqp://h1/v").as_deref(), Some("guest"));
        assert_eq!(user("amqp://u:p@h1,w:p@h2/v"), None);
    }

    #[test]
    fn a_comma_too_many_is_no_host_and_one_in_a_password_is_an_error_that_says_so() {
        assert_eq!(hosts("amqp://u:p@h1,/v").len(), 1);
        let error = parse("amqp://u:12345,x@h/", &TransportOptions::default()).unwrap_err().to_string();
        assert!(error.contains("%2C") && !error.contains("12345"), "{error}");
    }

    #[test]
    fn oslos_way_to_ask_for_tls_is_understood() {
        for url in ["rabbit://u:p@h/v?ssl=1", "amqp://h,h2/?ssl=True", "amqps://h"] {
            assert!(read(url).iter().all(|uri| uri.scheme == AMQPScheme::AMQPS && uri.authority.port == 5671), "{url}");
        }
        for url in ["rabbit://u:p@h/v?ssl=0", "amqp://h", "rabbit://h"] {
            assert!(read(url).iter().all(|uri| uri.scheme == AMQPScheme::AMQP), "{url}");
        }
        assert!(parse("rabbit://h?ssl=perhaps", &TransportOptions::default()).is_err());
    }

    #[test]
    fn a_connection_is_dead_after_the_threshold_unless_the_url_says_otherwise() {
        let options = TransportOptions { heartbeat_timeout_threshold: Duration::from_secs(15), ..Default::default() };
        assert_eq!(parse("amqp://h", &options).unwrap()[0].query.heartbeat, Some(8));
        assert_eq!(parse("amqp://h?heartbeat=7", &options).unwrap()[0].query.heartbeat, Some(7));
    }

    #[test]
    fn an_error_does_not_show_the_password() {
        for url in [
            "amqp:secret",
            "amqp://u:secret@h:port/",
            "amqp://u:secret@h?heartbeat=x",
            "amqp://u:secret@ h",
            "amqp://u:secret@h,u:secret@h2:port/",
            "amqp://u:secret@h?ssl=secret",
            "amqp://secret@h,secret@",
        ] {
            if let Err(error) = parse(url, &TransportOptions::default()) {
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
    }
}
