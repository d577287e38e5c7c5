//! Who asks, and where: from `OS_*` variables or a `clouds.yaml`, as OpenStack's clients find it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use novella_common::config::Secret;
use yaml_rust2::{Yaml, YamlLoader};

use crate::{GlobalOptions, config::data_folder};

/// The name of the cloud in the `clouds.yaml` that `novella up` writes.
const CLOUD: &str = "novella";

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
    /// `OS_AUTH_URL` and its like; else the file that `OS_CLIENT_CONFIG_FILE` names; else the one in the data folder.
    pub(crate) fn find(global: &GlobalOptions) -> Result<Self> {
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
        let path = match env::var_os("OS_CLIENT_CONFIG_FILE") {
            Some(path) => PathBuf::from(path),
            None => data_folder(global)?.join("clouds.yaml"),
        };
        Self::from_file(&path, &env::var("OS_CLOUD").unwrap_or_else(|_| CLOUD.into()))
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

/// A `clouds.yaml` for the cloud at `endpoint`.
pub(crate) fn clouds_yaml(endpoint: &str, password: &str) -> String {
    // JSON strings are YAML strings; a password may hold anything.
    let password = serde_json::Value::from(password).to_string();
    format!(
        "clouds:\n  {CLOUD}:\n    auth:\n      auth_url: {endpoint}/identity/v3\n      username: admin\n      \
         password: {password}\n      project_name: admin\n      user_domain_id: default\n      \
         project_domain_id: default\n    region_name: RegionOne\n    identity_api_version: 3\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clouds_yaml_that_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clouds.yaml");
        fs::write(&path, clouds_yaml("http://127.0.0.1:8774", "p: \"#ss\" '1")).unwrap();
        let found = Credentials::from_file(&path, "novella").unwrap();
        assert_eq!(found.auth_url, "http://127.0.0.1:8774/identity/v3");
        assert_eq!(found.password.expose(), "p: \"#ss\" '1");
        assert!(Credentials::from_file(&path, "other").unwrap_err().to_string().contains("novella"));
    }
}
