//! What the two ends of a simulated live migration say to each other, over TCP.
//!
//! ```text
//!   source                        destination
//!   Begin ───────────────────────▶
//!         ◀─────────────────────── Ready            (or Refused)
//!   Copied ──────────────────────▶                  repeated while memory is copied: both ends see the other live
//!         ◀─────────────────────── Received
//!   Switch ──────────────────────▶                  the source holds the guest, and has written that down
//!         ◀─────────────────────── Switched         the destination runs it, and has written that down
//! ```
//!
//! A frame is its length, four bytes, most significant first, and JSON.

use std::{fmt, io, time::Duration};

use novella_common::ids::{InstanceUuid, MigrationUuid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{guest::Guest, handover::OneTimeSecret};

/// The largest frame: a guest with 64 KiB of `user_data` and all its metadata fits many times.
const LARGEST: u32 = 1 << 20;

/// Which migration a connection is for, and the proof that it may be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    /// The destination's name: one listener serves all hosts of a process.
    pub(super) host: String,
    pub(super) instance: InstanceUuid,
    pub(super) migration: MigrationUuid,
    pub(super) secret: OneTimeSecret,
}

/// From the source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromSource {
    Begin(Begin),
    Copied { bytes: i64 },
    Switch { guest: Box<Guest> },
}

/// From the destination.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromDestination {
    Ready,
    Received,
    Switched,
    Refused { reason: String },
}

impl fmt::Display for FromDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Received => f.write_str("received"),
            Self::Switched => f.write_str("switched"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
        }
    }
}

/// Sends a frame.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= LARGEST);
    let length = length.ok_or_else(|| too_large(body.len()))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Receives a frame within `timeout`; an error if the other end is silent, gone, or talks something else.
pub(super) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    timeout: Duration,
) -> io::Result<T> {
    let frame = async {
        let length = stream.read_u32().await?;
        if length > LARGEST {
            return Err(too_large(length as usize));
        }
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).await?;
        Ok(serde_json::from_slice(&body)?)
    };
    tokio::time::timeout(timeout, frame)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("nothing came for {} s", timeout.as_secs_f64())))?
}

fn too_large(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes; {LARGEST} are allowed"))
}
