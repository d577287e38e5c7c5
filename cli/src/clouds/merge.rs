//! Putting a cloud into its user's own `clouds.yaml`, and taking it out again.
//!
//! The file is its user's: it is changed by lines, between two comments, so that everything else in it, comments and
//! order included, stays as it was.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use etcetera::BaseStrategy;
use yaml_rust2::{Yaml, YamlLoader};

use super::{
    CloudName, Logins,
    environment::{cloud_entries, entry_names},
    write_private,
};

/// The `clouds.yaml` that OpenStack's clients read for this user.
///
/// # Errors
/// There is no home directory.
pub(crate) fn users_clouds_yaml() -> Result<PathBuf> {
    let strategy = etcetera::choose_base_strategy().context("there is no home directory with a clouds.yaml")?;
    Ok(strategy.config_dir().join("openstack").join("clouds.yaml"))
}

/// Puts the cloud into the file, in place of what an earlier run put there.
///
/// # Errors
/// The file can't be read, is no `clouds.yaml`, has a cloud of that name that Novella did not put there, or lacks the line
/// at which ends what an earlier run put there.
pub(crate) fn merge(path: &Path, name: &CloudName, logins: &Logins<'_>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    let text = without(path, &read(path)?, name)?;
    let merged = with(&text, name, logins).with_context(|| format!("can't merge into {}", path.display()))?;
    write(path, &merged)
}

/// Takes out what [`merge`] put in.
///
/// # Errors
/// The file can't be read or written, or lacks the line at which that ends.
pub(crate) fn unmerge(path: &Path, name: &CloudName) -> Result<()> {
    let text = read(path)?;
    let rest = without(path, &text, name)?;
    if rest == text { Ok(()) } else { write(path, &rest) }
}

fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

/// Where the file is a link, what it points to is written.
fn write(path: &Path, text: &str) -> Result<()> {
    write_private(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), text)
}

fn begin(name: &CloudName) -> String {
    format!("# novella up --merge: begin of {name}")
}

fn end(name: &CloudName) -> String {
    format!("# novella up --merge: end of {name}")
}

/// The text of the file but for what is between the two comments. Without the second one nobody knows what is the user's.
fn without(path: &Path, text: &str, name: &CloudName) -> Result<String> {
    let (begin, end) = (begin(name), end(name));
    let mut inside = false;
    let mut rest = String::with_capacity(text.len());
    let mut endless = false;
    for line in text.split_inclusive('\n') {
        let begins = line.trim() == begin;
        endless |= inside && begins;
        inside |= begins;
        if !inside {
            rest.push_str(line);
        }
        inside &= line.trim() != end;
    }
    if endless || inside {
        bail!(
            "{} has a line `{begin}`, but after it none `{end}`, so it is not known what is not yours; it stays as it is. \
             Remove the first line and what `novella up --merge` put below it, then try again",
            path.display()
        );
    }
    Ok(rest)
}

fn with(text: &str, name: &CloudName, logins: &Logins<'_>) -> Result<String> {
    let documents = YamlLoader::load_from_str(text).context("it is no YAML")?;
    let clouds = match documents.as_slice() {
        [] | [Yaml::Null] => None,
        [Yaml::Hash(document)] => document.get(&Yaml::String("clouds".into())),
        _ => bail!("it is no clouds.yaml"),
    };
    let present = |entry: &String| {
        clouds.and_then(Yaml::as_hash).is_some_and(|clouds| clouds.contains_key(&Yaml::String(entry.clone())))
    };
    if let Some(entry) = entry_names(name).into_iter().find(present) {
        bail!("it has a cloud '{entry}' already, which is not from here; choose another --name");
    }
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_key = |line: &&str| {
        let rest = line.strip_prefix("clouds:").map(str::trim);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    };
    let key = lines.iter().position(is_key);
    let Some(key) = key else {
        if clouds.is_some() {
            bail!("its `clouds` are not written as a block below a line `clouds:`");
        }
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{text}{newline}clouds:\n{}", block(name, logins, 2)));
    };
    if lines[key..].len() == 1 && !lines[key].ends_with('\n') {
        lines.push("\n");
    }
    // The first line of content gives the indentation.
    let is_content = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = lines[key + 1..].iter().find(is_content).filter(|line| line.starts_with(' '));
    let indentation = first.map_or(2, |line| line.len() - line.trim_start().len());
    let mut merged = lines[..=key].concat();
    merged.push_str(&block(name, logins, indentation));
    merged.push_str(&lines[key + 1..].concat());
    // Whatever was overlooked in the user's file would show here, before anything is written.
    let check = YamlLoader::load_from_str(&merged).context("its form is not understood")?;
    if check.first().is_none_or(|document| document["clouds"][name.as_str()].is_badvalue()) {
        bail!("its form is not understood");
    }
    Ok(merged)
}

fn block(name: &CloudName, logins: &Logins<'_>, indentation: usize) -> String {
    let comment = |text: String| format!("{:indentation$}{text}\n", "");
    [comment(begin(name)), cloud_entries(name, logins, indentation), comment(end(name))].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clouds::Access;

    const USERS: &str = "# mine\nclouds:\n    work:  # production\n        auth:\n            auth_url: https://x/\n";

    fn at<'a>(endpoint: &'a str, password: &'a str) -> Logins<'a> {
        Logins { access: Access { endpoint, password, cacert: None }, demo_password: "demo's" }
    }

    fn name() -> CloudName {
        CloudName::default()
    }

    #[test]
    fn a_cloud_is_put_into_a_users_file_and_taken_out_again() {
        for text in
            ["", "# nothing yet\n", "clouds:\n", USERS, "cache:\n  auth: true\n", "clouds:  # of mine\n  a: {}\n"]
        {
            let merged = with(text, &name(), &at("http://here", "pass")).unwrap();
            let read = YamlLoader::load_from_str(&merged).unwrap();
            assert_eq!(read[0]["clouds"]["novella"]["auth"]["password"].as_str(), Some("pass"), "{merged}");
            assert_eq!(read[0]["clouds"]["novella-demo"]["auth"]["password"].as_str(), Some("demo's"), "{merged}");
            if text == USERS {
                assert_eq!(read[0]["clouds"]["work"]["auth"]["auth_url"].as_str(), Some("https://x/"));
                assert!(merged.contains("work:  # production"));
            }
            let rest = without(Path::new("clouds.yaml"), &merged, &name()).unwrap();
            assert!(rest == text || rest == format!("{text}clouds:\n"), "{rest}");
        }
    }

    #[test]
    fn a_second_run_replaces_what_the_first_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openstack").join("clouds.yaml");
        merge(&path, &name(), &at("http://first", "1")).unwrap();
        merge(&path, &name(), &at("http://second", "2")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("first") && text.contains("http://second/identity/v3"), "{text}");
        unmerge(&path, &name()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "clouds:\n");
    }

    #[test]
    fn without_the_line_that_ends_what_was_put_there_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clouds.yaml");
        let merged = with(USERS, &name(), &at("http://here", "pass")).unwrap();
        let end = format!("    {}\n", end(&name()));
        let endless = merged.replace(&end, "");
        assert!(endless != merged && endless.contains("work:  # production"), "{endless}");
        let put = &merged[merged.find("    #").unwrap()..];
        let twice = endless.replace("        auth:\n            auth_url: https://x/\n", put);
        for text in [endless, twice] {
            fs::write(&path, &text).unwrap();
            for result in [merge(&path, &name(), &at("http://there", "pass")), unmerge(&path, &name())] {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(end.trim()) && error.contains(&path.display().to_string()), "{error}");
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
    }

    #[test]
    fn a_cloud_of_the_user_is_never_replaced() {
        let text = "clouds:\n  novella:\n    auth: {}\n";
        let error = with(text, &name(), &at("http://here", "pass")).unwrap_err().to_string();
        assert!(error.contains("a cloud 'novella' already"), "{error}");
        for strange in ["clouds: {}\n", "- list\n", "a: [\n", "clouds: {a: {}}\n"] {
            assert!(with(strange, &name(), &at("http://here", "pass")).is_err(), "{strange}");
        }
    }
}
