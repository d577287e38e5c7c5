//! Who asks, and where: from `OS_*` variables or a `clouds.yaml`, as OpenStack's clients find it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use novella_common::config::Secret;
use novella_rest::Verify;
use yaml_rust2::{Yaml, YamlLoader};

use crate::{
    GlobalOptions,
    clouds::{CloudFolder, CloudName},
};

/// Who asks, and where.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// Up to and with `/identity/v3`.
    pub auth_url: String,
    pub username: String,
    pub password: Secret,
    pub project: String,
    /// Whose certificates are believed, where TLS is spoken.
    pub verify: Verify,
}

impl Credentials {
    /// The same; with `--insecure` any certificate is believed.
    pub(crate) fn insecure(self, global: &GlobalOptions) -> Self {
        if global.insecure { Self { verify: Verify::Nothing, ..self } } else { self }
    }

    /// The cloud that `--name` or `--data` names; else `OS_AUTH_URL` and its like; else the file that
    /// `OS_CLIENT_CONFIG_FILE` names; else the cloud that has no other name.
    pub(crate) fn find(global: &GlobalOptions) -> Result<Self> {
        Ok(Self::chosen(global)?.insecure(global))
    }

    fn chosen(global: &GlobalOptions) -> Result<Self> {
        let cloud = CloudFolder::find(global)?;
        if global.data.is_some() || global.name.is_some() {
            return Self::of_folder(cloud.path(), cloud.name.as_str());
        }
        if let Ok(auth_url) = env::var("OS_AUTH_URL") {
            let variable =
                |name: &str| env::var(name).with_context(|| format!("OS_AUTH_URL is set, but {name} is not"));
            return Ok(Self {
                auth_url: normalised(&auth_url),
                username: variable("OS_USERNAME")?,
                password: Secret::new(variable("OS_PASSWORD")?),
                project: env::var("OS_PROJECT_NAME").unwrap_or_else(|_| "admin".into()),
                verify: authority().map_or(Verify::System, Verify::Authority),
            });
        }
        match env::var_os("OS_CLIENT_CONFIG_FILE") {
            Some(path) => {
                let name = env::var("OS_CLOUD").unwrap_or_else(|_| CloudName::DEFAULT.to_owned());
                let found = Self::from_file(Path::new(&path), &name)?;
                Ok(match authority() {
                    Some(authority) if found.verify != Verify::Nothing => {
                        Self { verify: Verify::Authority(authority), ..found }
                    }
                    _ => found,
                })
            }
            None => Self::of_folder(cloud.path(), cloud.name.as_str()),
        }
    }

    /// Those of the cloud that is kept in this folder.
    pub(crate) fn of_folder(folder: &Path, name: &str) -> Result<Self> {
        Self::from_file(&folder.join("clouds.yaml"), name)
    }

    fn from_file(path: &Path, cloud: &str) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "can't read {}; name a clouds.yaml with OS_CLIENT_CONFIG_FILE, the data folder with --data, or set \
                 OS_AUTH_URL, OS_USERNAME and OS_PASSWORD",
                path.display()
            )
        })?;
        let documents =
            YamlLoader::load_from_str(&text).with_context(|| format!("{} is no clouds.yaml", path.display()))?;
        let clouds = documents
            .first()
            .and_then(|document| document["clouds"].as_hash())
            .with_context(|| format!("{} is no clouds.yaml: it has no `clouds`", path.display()))?;
        let Some(entry) = clouds.get(&Yaml::String(cloud.into())) else {
            let names: Vec<_> = clouds.keys().filter_map(Yaml::as_str).collect();
            bail!("{} knows no cloud '{cloud}'; set OS_CLOUD to one of: {}", path.display(), names.join(", "));
        };
        let text = |key: &str| {
            entry["auth"][key]
                .as_str()
                .with_context(|| format!("{}: cloud '{cloud}' has no text at `auth.{key}`", path.display()))
        };
        Ok(Self {
            auth_url: normalised(text("auth_url")?),
            username: text("username")?.to_owned(),
            password: Secret::new(text("password")?),
            project: text("project_name")?.to_owned(),
            verify: verify(entry),
        })
    }
}

/// What a cloud's entry says of whose certificates are believed.
fn verify(entry: &Yaml) -> Verify {
    if truth(&entry["verify"]) == Some(false) || truth(&entry["insecure"]) == Some(true) {
        return Verify::Nothing;
    }
    entry["cacert"].as_str().map_or(Verify::System, |file| Verify::Authority(in_home(file)))
}

/// Whose certificates are believed, by the environment and `--insecure`.
pub(crate) fn verify_here(global: &GlobalOptions) -> Verify {
    if global.insecure { Verify::Nothing } else { authority().map_or(Verify::System, Verify::Authority) }
}

/// The file that `OS_CACERT` names.
fn authority() -> Option<PathBuf> {
    env::var("OS_CACERT").ok().filter(|file| !file.is_empty()).map(|file| in_home(&file))
}

/// With `~` as the user's home.
fn in_home(file: &str) -> PathBuf {
    match (file.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => PathBuf::from(file),
    }
}

fn truth(value: &Yaml) -> Option<bool> {
    value.as_bool().or_else(|| novella_rest::truth(value.as_str()?))
}

/// With `/v3`, which some write and some don't.
fn normalised(auth_url: &str) -> String {
    let url = auth_url.trim_end_matches('/');
    if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clouds::{Access, Logins, clouds_yaml};

    #[test]
    fn the_clouds_yaml_that_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clouds.yaml");
        let access = Access {
            endpoint: "http://127.0.0.1:8774",
            password: "p: \"#ss\" '1",
            cacert: Some(Path::new("of: \"mine\".pem")),
        };
        let logins = Logins { access, demo_password: "d" };
        fs::write(&path, clouds_yaml(&CloudName::default(), &logins)).unwrap();
        let found = Credentials::from_file(&path, "novella").unwrap();
        assert_eq!(found.auth_url, "http://127.0.0.1:8774/identity/v3");
        assert_eq!(found.password.expose(), "p: \"#ss\" '1");
        assert_eq!(found.verify, Verify::Authority("of: \"mine\".pem".into()));
        let demo = Credentials::from_file(&path, "novella-demo").unwrap();
        assert_eq!((demo.username.as_str(), demo.project.as_str(), demo.password.expose()), ("demo", "demo", "d"));
        assert!(Credentials::from_file(&path, "other").unwrap_err().to_string().contains("novella"));
    }

    #[test]
    fn a_certificate_is_believed_as_the_entry_says() {
        let verify = |text: &str| verify(&YamlLoader::load_from_str(text).unwrap()[0]);
        assert_eq!(verify("auth: {}"), Verify::System);
        assert_eq!(verify("{verify: true, cacert: /etc/a.pem}"), Verify::Authority("/etc/a.pem".into()));
        for all in ["verify: false", "verify: 'False'", "{insecure: true, cacert: /etc/a.pem}"] {
            assert_eq!(verify(all), Verify::Nothing, "{all}");
        }
        let Verify::Authority(file) = verify("cacert: ~/a.pem") else { panic!() };
        assert!(file.is_absolute() && file.ends_with("a.pem"));
    }
}
