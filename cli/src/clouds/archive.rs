//! A stopped cloud as one file: its database, its hosts' files, its images, its passwords.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::{Component, Path},
};

use anyhow::{Context, Result, bail};

use super::CloudFolder;

/// What makes a cloud; the rest is made anew at each start.
const SAVED: [&str; 7] =
    ["novella.db", "novella.db-wal", "novella.db-shm", "hosts", "images", "admin-password", "demo-password"];

impl CloudFolder {
    /// Writes the cloud into a tar archive, whole or not at all. To be called with the lock held.
    ///
    /// # Errors
    /// There is no cloud, or a file can't be read or written.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        if !self.database().exists() {
            bail!("there is no cloud in {}", self.path().display());
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> std::io::Result<()> {
            // It holds password hashes and tokens: made with mode 0600, and by a name that nobody can have taken before.
            let archive = tempfile::NamedTempFile::new_in(folder)?;
            let mut archive = tar::Builder::new(BufWriter::new(archive));
            for name in SAVED {
                let path = self.path().join(name);
                if path.is_dir() {
                    archive.append_dir_all(name, &path)?;
                } else if path.exists() {
                    archive.append_path_with_name(&path, name)?;
                }
            }
            let mut file_of = archive.into_inner()?;
            file_of.flush()?;
            let written = file_of.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            written.as_file().sync_all()?;
            written.persist(file)?;
            Ok(())
        };
        write().with_context(|| format!("can't save the cloud to {}", file.display()))
    }

    /// Puts a saved cloud into this folder. To be called with the lock held.
    ///
    /// # Errors
    /// A cloud is there already, or the file is no saved cloud.
    pub(crate) fn load(&self, file: &Path) -> Result<()> {
        if self.database().exists() {
            bail!(
                "{} holds a cloud already: load into another --name, or remove this one with `novella down --remove`",
                self.path().display()
            );
        }
        let archive = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
        let mut archive = tar::Archive::new(BufReader::new(archive));
        let unpacked = self.unpack(&mut archive).with_context(|| format!("{} is no saved cloud", file.display()));
        if unpacked.is_err() || !self.database().exists() {
            self.remove_saved()?;
            unpacked?;
            bail!("{} is no saved cloud: it has no database", file.display());
        }
        Ok(())
    }

    fn unpack(&self, archive: &mut tar::Archive<impl std::io::Read>) -> Result<()> {
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
            let ours =
                path.components().next().is_some_and(|first| SAVED.iter().any(|name| first.as_os_str() == *name));
            let kind = entry.header().entry_type();
            // A host's files have holes.
            if !plain || !ours || !(kind.is_file() || kind.is_gnu_sparse() || kind.is_dir()) {
                bail!("'{}' does not belong into one", path.display());
            }
            entry.set_preserve_mtime(false);
            entry.unpack_in(self.path())?;
        }
        Ok(())
    }

    fn remove_saved(&self) -> Result<()> {
        for name in SAVED {
            self.remove_entry(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;
    use crate::clouds::CloudName;

    fn folder(path: &Path) -> CloudFolder {
        CloudFolder::new(CloudName::default(), path.to_owned())
    }

    #[test]
    fn a_cloud_is_saved_for_its_owner_alone_and_past_what_lies_in_its_way() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder(there.path()).database(), "rows").unwrap();
        let (file, victim) = (here.path().join("x.tar"), here.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, here.path().join("x.part")).unwrap();
        folder(there.path()).save(&file).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        let saved = fs::symlink_metadata(&file).unwrap();
        assert!(saved.is_file() && saved.len() > 0);
        assert_eq!(saved.permissions().mode() & 0o777, 0o600);
        // The three of this test, and nothing half written.
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_is_no_saved_cloud_leaves_nothing() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = here.path().join("x.tar");
        let write = |name: &str| {
            let mut archive = tar::Builder::new(File::create(&file).unwrap());
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o600);
            // The library itself refuses to write such a name.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, &b"x"[..]).unwrap();
            archive.into_inner().unwrap();
        };
        for name in ["../escape", "hosts/../../escape", "/etc/x", "other", "hosts/journal.redb"] {
            write(name);
            assert!(folder(there.path()).load(&file).is_err(), "{name}");
            assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0, "{name}");
        }
        assert!(!here.path().parent().unwrap().join("escape").exists());
        fs::write(&file, "no archive at all").unwrap();
        assert!(folder(there.path()).load(&file).is_err());
        write("novella.db");
        folder(there.path()).load(&file).unwrap();
        assert!(folder(there.path()).load(&file).unwrap_err().to_string().contains("holds a cloud already"));
    }
}
