//! Aggregates for certain images.

use std::collections::BTreeMap;

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// A host whose aggregates have a property of the image in their metadata is only for images with one of the values that are
/// there. Images that do not say it may be on any.
#[derive(Debug)]
pub struct AggregateImagePropertiesIsolation;

impl Filter for AggregateImagePropertiesIsolation {
    fn name(&self) -> &'static str {
        "AggregateImagePropertiesIsolation"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, config: &SchedulerConfig) -> bool {
        let prefix = config
            .aggregate_image_properties_isolation_namespace
            .as_ref()
            .filter(|namespace| !namespace.is_empty())
            .map(|namespace| format!("{namespace}{}", config.aggregate_image_properties_isolation_separator));
        let mut allowed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in host.metadata() {
            if prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix)) {
                allowed.entry(key).or_default().push(value);
            }
        }
        allowed.into_iter().all(|(key, values)| {
            let property = wanted.image_properties.get(key).filter(|property| !property.is_empty());
            property.is_none_or(|property| values.contains(&property.as_str()))
        })
    }
}
