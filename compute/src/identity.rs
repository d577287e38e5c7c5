//! What a host is beside its name: an id made once and kept in its state folder.
//!
//! A machine that comes under the name of another one brings a folder of its own, and so another identity: conductors refuse
//! it until an operator says that the host was replaced. (Nova has its file `compute_id` for the same.)

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use novella_common::ids::HostIdentity;

/// The file's name, as Nova's.
const FILE: &str = "compute_id";

/// Why the identity can't be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file can't be read or made.
    #[error("the host's identity {path} can't be read or written: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The file system's.
        reason: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the host's identity {path} holds '{found}' and not a UUID; restore it from a backup, or remove it: then this is \
         another host than before, which an operator has to take in with `novella host replace`"
    )]
    NotUuid {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
}

/// The identity that is kept in `folder`; made, and on the disk before it is used, if there is none.
pub(crate) fn of_folder(folder: &Path) -> Result<HostIdentity, IdentityError> {
    let path = folder.join(FILE);
    let failed = |reason| IdentityError::File { path: path.clone(), reason };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.trim();
            text.parse()
                .map_err(|_| IdentityError::NotUuid { path: path.clone(), found: text.chars().take(64).collect() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let identity = HostIdentity::random();
            write(folder, &path, identity).map_err(failed)?;
            Ok(identity)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Under another name first, so that a crash leaves no half of it.
fn write(folder: &Path, path: &Path, identity: HostIdentity) -> io::Result<()> {
    let beside = folder.join(format!("{FILE}.new"));
    let mut file = std::fs::File::create(&beside)?;
    writeln!(file, "{identity}")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_for_each_folder_and_what_is_none_is_named() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let identity = of_folder(one.path()).unwrap();
        assert_eq!(of_folder(one.path()).unwrap(), identity);
        assert_ne!(of_folder(other.path()).unwrap(), identity);
        std::fs::write(other.path().join(FILE), "me").unwrap();
        let error = of_folder(other.path()).unwrap_err().to_string();
        assert!(error.contains("'me'") && error.contains("compute_id"), "{error}");
    }
}
