//! Aggregates that have what a flavor asks for.

use super::{Filter, extra_specs_ops};
use crate::{HostState, SchedulerConfig, Wanted};

/// The namespace of extra specs that are for this filter; those without one are too.
const SCOPE: &str = "aggregate_instance_extra_specs";

/// Only hosts whose aggregates have each of the flavor's extra specs in their metadata.
#[derive(Debug)]
pub struct AggregateInstanceExtraSpecsFilter;

impl Filter for AggregateInstanceExtraSpecsFilter {
    fn name(&self) -> &'static str {
        "AggregateInstanceExtraSpecsFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        wanted.extra_specs.iter().all(|(key, asked)| {
            let key = match key.split_once(':') {
                None => key.as_str(),
                Some((SCOPE, key)) => key,
                Some(_) => return true,
            };
            host.metadata().any(|(known, value)| known == key && extra_specs_ops::matches(value, asked))
        })
    }
}
