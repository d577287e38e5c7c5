//! What the broker's and the client library's errors mean.

use std::io;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

use super::connection::Address;
use crate::error::MessagingError;

/// What RabbitMQ from 4.3 on calls a feature that it denies, in the error by which it closes the connection.
const TRANSIENT_QUEUES: &str = "`transient_nonexcl_queues`";

fn soft(error: &Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(kind) => Some(kind),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// Why no connection could be made.
pub(super) fn connecting(error: &Error, address: String, encrypted: bool) -> MessagingError {
    if let ErrorKind::ProtocolError(refusal) = error.kind() {
        let refused = matches!(
            refusal.kind(),
            // A missing virtual host, and one the user may not enter, are both "not allowed".
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
        );
        if refused {
            return MessagingError::AccessRefused { address, reason: refusal.get_message().to_string() };
        }
    }
    let text = error.to_string();
    let hint = match error.kind() {
        ErrorKind::IOError(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => "; is a broker running there?",
        // The broker's word on us. Often it has hung up by the time we speak, and the word is lost.
        ErrorKind::IOError(io) if encrypted && (text.contains("received fatal alert") || has_hung_up(io)) => {
            "; the broker may ask for a certificate of this client (`ssl_cert_file` and `ssl_key_file`) by an authority \
             it knows"
        }
        _ if text.contains("certificate") => {
            "; the certificate must be for this host and by an authority that the system or `ssl_ca_file` names"
        }
        _ => "",
    };
    MessagingError::ConnectionFailed { address, reason: format!("{text}{hint}") }
}

fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Whether declaring or consuming would fail in the same way again, and why.
pub(super) fn permanent(error: &Error, what: &str, address: &Address) -> Option<MessagingError> {
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return None;
    };
    let reason = refusal.get_message().to_string();
    if reason.contains(TRANSIENT_QUEUES) {
        return Some(MessagingError::InvalidOption {
            option: "amqp_durable_queues".into(),
            reason: format!(
                "{what} is not durable, which this broker does not permit; all peers have to set it: {reason}"
            ),
        });
    }
    match soft(error)? {
        AMQPSoftError::PRECONDITIONFAILED => Some(MessagingError::DeclaredOtherwise { what: what.to_owned(), reason }),
        AMQPSoftError::ACCESSREFUSED => {
            Some(MessagingError::AccessRefused { address: address.hosts_and_ports(), reason })
        }
        _ => None,
    }
}

/// Whether the broker closed the channel or the connection over something that was sent, and would do it again.
pub(super) fn is_rejection(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            !matches!(error.kind(), AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED | AMQPHardError::INTERNALERROR))
        }
        _ => false,
    }
}

/// Whether the broker has closed a channel by it, and not the connection.
pub(super) fn is_of_a_channel(error: &Error) -> bool {
    soft(error).is_some()
}

/// Whether the user lacks a right.
pub(super) fn is_forbidden(error: &Error) -> bool {
    soft(error) == Some(&AMQPSoftError::ACCESSREFUSED)
}

/// Whether a queue or exchange exists with other properties.
pub(super) fn is_declared_otherwise(error: &Error) -> bool {
    soft(error) == Some(&AMQPSoftError::PRECONDITIONFAILED)
}

/// Whether there is no queue or exchange of that name.
pub(super) fn is_missing(error: &Error) -> bool {
    soft(error) == Some(&AMQPSoftError::NOTFOUND)
}

/// Whether the connection has no room for another channel.
pub(super) fn is_channel_limit(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ChannelsLimitReached)
}

/// Whether another consumer has the queue to itself.
pub(super) fn is_consumed_exclusively(error: &Error) -> bool {
    // A missing right is refused by the same code.
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return false };
    is_forbidden(error) && refusal.get_message().as_str().contains("exclusive use")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use lapin::protocol::AMQPError;
    use lapin::tcp::OwnedTLSConfig;

    use super::*;

    fn closed_by(kind: impl Into<AMQPErrorKind>, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    fn permanent_of(error: &Error) -> Option<MessagingError> {
        let address = Address {
            brokers: Arc::from([lapin::uri::AMQPUri::default()]),
            name: String::new(),
            tls: OwnedTLSConfig::default(),
            max_backoff: Duration::ZERO,
        };
        permanent(error, "the queue `q`", &address)
    }

    #[test]
    fn a_broker_that_permits_no_transient_queues_is_an_option_to_set() {
        // As RabbitMQ 4.3 says it.
        let error = closed_by(
            AMQPHardError::INTERNALERROR,
            "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nBy default, this feature is not permitted",
        );
        let Some(MessagingError::InvalidOption { option, reason }) = permanent_of(&error) else { panic!("{error}") };
        assert_eq!(option, "amqp_durable_queues");
        assert!(reason.contains("`q`"), "{reason}");
    }

    #[test]
    fn what_may_pass_is_not_permanent() {
        let forced = closed_by(AMQPHardError::CONNECTIONFORCED, "CONNECTION_FORCED - broker forced connection closure");
        let network: Error = ErrorKind::IOError(Arc::new(io::ErrorKind::ConnectionReset.into())).into();
        for error in [forced, network] {
            assert_eq!(permanent_of(&error), None);
            assert!(!is_rejection(&error));
        }
        assert!(is_rejection(&closed_by(AMQPSoftError::PRECONDITIONFAILED, "PRECONDITION_FAILED - too large")));
    }
}
