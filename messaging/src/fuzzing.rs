//! The private codec as the fuzz target in `fuzz/` sees it. Exists in fuzzing builds (`--cfg fuzzing`, which cargo-fuzz
//! sets) and in tests only.
//!
//! Each function reads `body`; if that is a message, it writes it, reads that, and panics unless both are the same.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::MessagingError;
use crate::wire::{NotificationMessage, ReplyMessage, RequestMessage};

/// A call, cast or fanout.
pub fn request(body: &[u8]) {
    there_and_back(body, RequestMessage::decode, RequestMessage::encode, |message| {
        // Peers may ask for heartbeats by fractions of a second; this crate writes whole ones.
        if let Some(reply_to) = &mut message.reply_to {
            reply_to.monitor = reply_to.monitor.map(|every| Duration::from_secs(every.as_secs()));
        }
    });
}

/// An answer or a heartbeat.
pub fn reply(body: &[u8]) {
    there_and_back(body, ReplyMessage::decode, ReplyMessage::encode, |_| ());
}

/// A notification.
pub fn notification(body: &[u8]) {
    there_and_back(body, NotificationMessage::decode, NotificationMessage::encode, |_| ());
}

fn there_and_back<M: Debug + PartialEq>(
    body: &[u8],
    decode: impl Fn(&[u8]) -> Result<M, MessagingError>,
    encode: impl Fn(&M) -> Result<Vec<u8>, MessagingError>,
    normalise: impl Fn(&mut M),
) {
    let Ok(mut message) = decode(body) else {
        return;
    };
    normalise(&mut message);
    let written = encode(&message).unwrap_or_else(|error| panic!("{message:?} cannot be written: {error}"));
    let read = decode(&written).unwrap_or_else(|error| panic!("{message:?} cannot be read again: {error}"));
    assert_eq!(message, read);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzz target begins with, whole and cut off at every place.
    #[test]
    fn the_seeds_are_read_or_refused_and_what_is_read_is_written_alike() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/wire");
        let mut readable = 0;
        for seed in std::fs::read_dir(folder).unwrap() {
            let body = std::fs::read(seed.unwrap().path()).unwrap();
            for end in 0..=body.len() {
                request(&body[..end]);
                reply(&body[..end]);
                notification(&body[..end]);
            }
            readable += usize::from(RequestMessage::decode(&body).is_ok() || ReplyMessage::decode(&body).is_ok());
        }
        assert!(readable > 3, "only {readable} seeds can be read");
    }
}
