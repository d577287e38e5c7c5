//! The stores: one, or several of which one is taken where nobody names another.

use std::{cmp::Reverse, path::Path, sync::Arc};

use crate::{
    ImageConfig,
    config::StoreConfig,
    store::{Store, StoreError},
};

/// What the one store is called where the configuration names none. Images from before there were several are in this one.
const ONLY: &str = "default";

/// The stores. Clones share them.
#[derive(Clone, Debug)]
pub struct Stores {
    all: Arc<Vec<NamedStore>>,
    default: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct NamedStore {
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    pub(crate) weight: i64,
    pub(crate) store: Store,
}

impl Stores {
    /// Those that the configuration names, or this folder.
    ///
    /// # Errors
    /// What it says of them can't be, or a folder can't be made.
    pub fn open(config: &ImageConfig, folder: &Path) -> Result<Self, StoreError> {
        let described = described(config)?;
        let id = config.default_store.as_ref().or(described.first().map(|store| &store.id));
        let default = described.iter().position(|store| Some(&store.id) == id);
        let default = default.ok_or_else(|| {
            StoreError::Stores(format!("image.default_store '{}' is none of them", id.map_or("", String::as_str)))
        })?;
        let open = |store: StoreConfig| {
            let opened = Store::open(&store, folder)?;
            Ok(NamedStore { id: store.id, description: store.description, weight: store.weight, store: opened })
        };
        let all: Result<Vec<_>, StoreError> = described.into_iter().map(open).collect();
        Ok(Self { all: Arc::new(all?), default })
    }

    /// In the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedStore> {
        self.all.iter()
    }

    /// Whether there is more than one.
    pub(crate) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// The one that is taken where nobody names another.
    pub(crate) fn default_id(&self) -> &str {
        self.all.get(self.default).map_or(ONLY, |store| &store.id)
    }

    /// In which order stores that have an image are shown: by their weights, then by their names.
    pub(crate) fn sort(&self, ids: &mut [String]) {
        ids.sort_by_cached_key(|id| (Reverse(self.weight(id)), id.clone()));
    }

    /// In which order they are read: by their weights, the default one before others.
    pub(crate) fn rank(&self, id: &str) -> (Reverse<i64>, bool) {
        (Reverse(self.weight(id)), id != self.default_id())
    }

    fn weight(&self, id: &str) -> i64 {
        self.iter().find(|store| store.id == id).map_or(0, |store| store.weight)
    }

    /// The names of all, in order, as a comma separates them.
    pub(crate) fn ids(&self) -> String {
        let mut ids: Vec<&str> = self.iter().map(|store| store.id.as_str()).collect();
        ids.sort_unstable();
        ids.join(",")
    }

    /// The one of this name.
    pub(crate) fn get(&self, id: &str) -> Option<&Store> {
        self.iter().find(|store| store.id == id).map(|store| &store.store)
    }

    /// The same, for bytes that are there.
    ///
    /// # Errors
    /// The configuration does not name it any more.
    pub(crate) fn of(&self, id: &str) -> Result<&Store, StoreError> {
        self.get(id).ok_or_else(|| StoreError::Failed(format!("no store is called '{id}' in the configuration")))
    }
}

/// What the configuration says of each.
fn described(config: &ImageConfig) -> Result<Vec<StoreConfig>, StoreError> {
    let ImageConfig { store_url, s3_endpoint, s3_region, s3_access_key, s3_secret_key, stores, .. } = config;
    if stores.is_empty() {
        return Ok(vec![StoreConfig {
            id: ONLY.to_owned(),
            description: None,
            url: store_url.clone(),
            weight: 0,
            s3_endpoint: s3_endpoint.clone(),
            s3_region: Some(s3_region.clone()),
            s3_access_key: s3_access_key.clone(),
            s3_secret_key: s3_secret_key.clone(),
        }]);
    }
    let refused = |reason: String| Err(StoreError::Stores(reason));
    if store_url.is_some() {
        return refused("image.store_url is set too: name that store among them".to_owned());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut all = Vec::new();
    for store in stores {
        if store.id.is_empty() || !store.id.chars().all(fits) {
            return refused(format!("'{}' is no id: letters, digits, '-', '_' and '.' are expected", store.id));
        }
        if store.url.is_none() {
            return refused(format!("'{}' has no url", store.id));
        }
        if all.iter().any(|known: &StoreConfig| known.id == store.id) {
            return refused(format!("two are called '{}'", store.id));
        }
        let region = store.s3_region.clone().or_else(|| Some(s3_region.clone()));
        all.push(StoreConfig { s3_region: region, ..store.clone() });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(id: &str, url: &str) -> StoreConfig {
        StoreConfig { id: id.into(), url: Some(url.into()), ..StoreConfig::default() }
    }

    #[test]
    fn one_of_several_stores_is_the_default_and_what_can_not_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("file://{}", folder.path().join(name).display());
        let (fast, slow) = (store("fast", &path("fast")), store("a.slow", &path("slow")));
        let config = ImageConfig { stores: vec![fast.clone(), slow.clone()], ..ImageConfig::default() };
        let open = |config: &ImageConfig| Stores::open(config, folder.path());
        let stores = open(&config).unwrap();
        assert_eq!((stores.default_id(), stores.ids().as_str()), ("fast", "a.slow,fast"));
        let shown = |config: &ImageConfig| {
            let (stores, mut ids) = (open(config).unwrap(), vec!["fast".to_owned(), "a.slow".to_owned()]);
            stores.sort(&mut ids);
            let first = ids.iter().min_by_key(|id| stores.rank(id)).cloned().unwrap();
            (ids.join(","), first)
        };
        assert_eq!(shown(&config), ("a.slow,fast".to_owned(), "fast".to_owned()));
        let heavy = vec![fast.clone(), StoreConfig { weight: 5, ..slow.clone() }];
        assert_eq!(shown(&ImageConfig { stores: heavy, ..config.clone() }).1, "a.slow");
        let other = ImageConfig { default_store: Some("a.slow".into()), ..config.clone() };
        assert_eq!(open(&other).unwrap().default_id(), "a.slow");
        assert_eq!(open(&ImageConfig::default()).unwrap().ids(), "default");

        let with = |stores: Vec<StoreConfig>| ImageConfig { stores, ..ImageConfig::default() };
        for (config, reason) in [
            (
                ImageConfig { default_store: Some("x".into()), ..config.clone() },
                "image.default_store 'x' is none of them",
            ),
            (ImageConfig { store_url: Some(path("x")), ..config.clone() }, "image.store_url is set too"),
            (with(vec![fast.clone(), fast.clone()]), "two are called 'fast'"),
            (with(vec![store("a,b", &path("x"))]), "'a,b' is no id"),
            (with(vec![StoreConfig { url: None, ..fast }]), "'fast' has no url"),
            (with(vec![store("x", "ftp://x")]), "'ftp://x' is neither a folder"),
        ] {
            let text = open(&config).unwrap_err().to_string();
            assert!(text.contains(reason), "{text}");
        }
    }
}
