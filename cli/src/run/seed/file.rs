//! `novella up --seed FILE`: what is to be in the cloud beside what every new one has.
//!
//! ```yaml
//! projects: [{ name: ci }]
//! users: [{ name: bob, password: secret, roles: { ci: member } }]
//! images: [{ name: mine, min_disk: 1 }]
//! flavors: [{ name: big, vcpus: 8, ram: 16384, disk: 100 }]
//! keypairs: [{ name: me, public_key: ssh-ed25519 AAAA... me }]
//! servers: [{ name: web, flavor: big, image: mine, count: 3, project: ci }]
//! ```

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use novella_identity::seed::{SeedProject, SeedUser};
use novella_image::seed::SeedImage;
use serde::Deserialize;
use serde_json::Value;
use yaml_rust2::YamlLoader;

use crate::output;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SeedFile {
    pub projects: Vec<SeedProject>,
    pub users: Vec<SeedUser>,
    pub images: Vec<SeedImage>,
    pub flavors: Vec<SeedFlavor>,
    pub keypairs: Vec<SeedKeypair>,
    pub servers: Vec<SeedServer>,
}

/// A flavor; the rest of its fields are as the Compute API has them by default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedFlavor {
    pub name: String,
    /// Without one, a new one.
    pub id: Option<String>,
    pub vcpus: u32,
    /// MiB.
    pub ram: u32,
    /// GiB.
    #[serde(default)]
    pub disk: u32,
}

/// A key pair of the administrator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedKeypair {
    pub name: String,
    pub public_key: String,
}

/// One or more servers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedServer {
    /// With a `count` above 1, `NAME-1`, `NAME-2` and so on.
    pub name: String,
    /// By its name.
    pub flavor: String,
    /// By its name.
    pub image: String,
    #[serde(default = "one")]
    pub count: u32,
    #[serde(default = "admin")]
    pub project: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    pub key_name: Option<String>,
}

fn one() -> u32 {
    1
}

fn admin() -> String {
    "admin".to_owned()
}

impl SeedFile {
    /// Reads a file in YAML, of which JSON is a part.
    ///
    /// # Errors
    /// It can't be read or is of another form; the text names the file and the place.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("can't read the seed file {}", path.display()))?;
        let documents = YamlLoader::load_from_str(&text).with_context(|| format!("{} is no YAML", path.display()))?;
        let value = match documents.as_slice() {
            [] => return Ok(Self::default()),
            [document] => output::json(document),
            _ => bail!("{} has more than one document", path.display()),
        };
        if value.is_null() {
            return Ok(Self::default());
        }
        Self::from_value(value).with_context(|| format!("the seed file {}", path.display()))
    }

    fn from_value(value: Value) -> Result<Self> {
        serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
            "." => anyhow::anyhow!("{}", error.inner()),
            place => anyhow::anyhow!("{place}: {}", error.inner()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SeedFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.yaml");
        fs::write(&path, text).unwrap();
        SeedFile::read(&path)
    }

    #[test]
    fn the_example_is_read() {
        let example = include_str!("file.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let example: Vec<&str> = example.skip_while(|line| *line != "```yaml").skip(1).collect();
        let end = example.iter().position(|line| *line == "```").unwrap();
        let seed = read(&example[..end].join("\n")).unwrap();
        assert_eq!((seed.projects.len(), seed.users[0].roles["ci"].as_str()), (1, "member"));
        assert_eq!((seed.servers[0].count, seed.flavors[0].ram, seed.keypairs.len()), (3, 16384, 1));
        assert!(read("").unwrap().servers.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        for (text, said) in [
            ("servers: [{ name: a, flavour: b, image: c }]", "servers[0].flavour: unknown field `flavour`"),
            ("users: [{ name: a }]", "users[0]: missing field `password`"),
            ("flavors: [{ name: a, vcpus: -1, ram: 1 }]", "flavors[0].vcpus"),
            ("networks: []", "unknown field `networks`"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(said) && error.contains("seed.yaml"), "{error}");
        }
    }
}
