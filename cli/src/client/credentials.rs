//! Who asks, and where: from `OS_*` variables or a `clouds.yaml`, as OpenStack's clients find it.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, bail};
use novella_common::config::Secret;
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
}

impl Credentials {
    /// The cloud that `--name` or `--data` names; else `OS_AUTH_URL` and its like; else the file that
    /// `OS_CLIENT_CONFIG_FILE` names; else the cloud that has no other name.
    pub(crate) fn find(global: &GlobalOptions) -> Result<Self> {
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
            });
        }
        match env::var_os("OS_CLIENT_CONFIG_FILE") {
            Some(path) => {
                let name = env::var("OS_CLOUD").unwrap_or_else(|_| CloudName::DEFAULT.to_owned());
                Self::from_file(Path::new(&path), &name)
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
        })
    }
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
        let demo = Credentials::from_file(&path, "novella-demo").unwrap();
        assert_eq!((demo.username.as_str(), demo.project.as_str(), demo.password.expose()), ("demo", "demo", "d"));
        assert!(Credentials::from_file(&path, "other").unwrap_err().to_string().contains("novella"));
    }
}
