//! Folders that only their user can look into: a cloud's has passwords in it, and what its guests were given.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};

use crate::output;

/// What others may do in a folder.
const OTHERS: u32 = 0o077;

/// Makes the folder. One that is there and open to others is closed; not if it is another user's, and not by root if it
/// holds what is not the cloud's (`is_ours`), which others may need.
///
/// # Errors
/// It can't be made, or is open and stays so; the text names it.
pub(super) fn make(path: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
    let shown = path.display();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("can't make the folder {shown}; choose another with --data DIR"))?;
    let found = fs::metadata(path).with_context(|| format!("can't look at {shown}"))?;
    let mode = found.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let open = format!("the folder {shown} is open to other users (mode {mode:04o})");
    let me = rustix::process::geteuid();
    if !me.is_root() && found.uid() != me.as_raw() {
        bail!("{open} and is not yours to close: choose one of your own with --data DIR");
    }
    if me.is_root()
        && let Some(other) = foreign(path, is_ours)?
    {
        bail!(
            "{open} and holds '{other}', which is not the cloud's: choose another with --data DIR, or `chmod 700` it"
        );
    }
    // Not its special bits: whose group new files get is the administrator's matter.
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHERS))
        .with_context(|| format!("{open} and can't be closed"))?;
    output::say_aside(&format!("novella: warning: {open}: now it is yours alone"));
    Ok(())
}

/// The name of something that is not the cloud's.
fn foreign(path: &Path, is_ours: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let entries = fs::read_dir(path).with_context(|| format!("can't look into {}", path.display()))?;
    for entry in entries {
        let name = entry.with_context(|| format!("can't look into {}", path.display()))?.file_name();
        let name = name.to_string_lossy();
        // A file system's own.
        if !is_ours(&name) && name != "lost+found" {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

/// Files that this process makes from now on are its user's alone, whoever makes them: SQLite asks nobody.
pub(crate) fn make_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_folder_that_is_open_to_others_is_closed_and_by_root_only_if_it_is_the_clouds_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        make(&path, |_| false).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o2775)).unwrap();
        fs::write(path.join("ours"), "").unwrap();
        make(&path, |name| name == "ours").unwrap();
        assert_eq!(mode(&path), 0o2700);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("theirs"), "").unwrap();
        let made = make(&path, |name| name == "ours");
        if rustix::process::geteuid().is_root() {
            let refused = made.unwrap_err().to_string();
            assert!(refused.contains("0755") && refused.contains("'theirs'") && mode(&path) == 0o755, "{refused}");
        } else {
            made.unwrap();
            assert_eq!(mode(&path), 0o700);
        }
    }
}
