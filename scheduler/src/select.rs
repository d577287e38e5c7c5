//! The decision: which hosts will do, best first. Plain functions on plain data.

use rand::{Rng, RngExt};

use crate::{
    HostState, SchedulerConfig, Wanted,
    filters::{self, Filter},
    weighers::{self, Weigher, add_weights},
};

/// A host that will do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selected {
    /// Its place in the list of hosts that was given.
    pub index: usize,
    /// Its weight among the hosts that passed the filters.
    pub weight: f64,
}

/// No host will do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoneLeft {
    /// There are none at all.
    #[error("There are no compute hosts.")]
    NoHosts,
    /// The one that was named is not there, or has failed before.
    #[error("Host '{0}' is unknown or excluded.")]
    NotThatOne(String),
    /// All have failed before, or are excluded by the request.
    #[error("All {0} hosts are excluded.")]
    AllExcluded(usize),
    /// A filter took the last ones.
    #[error("{filter} returned 0 hosts (start: {before}, of {total} in all).")]
    Filtered {
        /// The filter.
        filter: &'static str,
        /// How many hosts it was asked about.
        before: usize,
        /// How many hosts there are.
        total: usize,
    },
}

/// The filters and weighers, as they are configured.
pub struct Selector {
    filters: Vec<&'static dyn Filter>,
    config: SchedulerConfig,
    weighers: Vec<(f64, Box<dyn Weigher>)>,
    subset_size: usize,
    shuffle: bool,
}

impl Selector {
    /// The configured filters and weighers.
    ///
    /// # Errors
    /// The first name in `enabled_filters` that is no filter's.
    pub fn new(config: &SchedulerConfig) -> Result<Self, String> {
        let mut filters: Vec<_> = config
            .enabled_filters
            .iter()
            .map(|name| filters::named(name).ok_or_else(|| name.clone()))
            .collect::<Result<_, _>>()?;
        let enabled = |filter: &&&dyn Filter| config.enabled_filters.iter().any(|name| name == filter.name());
        filters.extend(filters::ALWAYS.iter().filter(|filter| !enabled(filter)));
        Ok(Self {
            filters,
            config: config.clone(),
            weighers: weighers::configured(config),
            subset_size: config.host_subset_size.max(1),
            shuffle: config.shuffle_best_same_weighed_hosts,
        })
    }

    /// The best `count` of the hosts that will do, best first. The first is drawn from the best `host_subset_size`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn select(
        &self,
        hosts: &[HostState],
        wanted: &Wanted,
        count: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<Selected>, NoneLeft> {
        let mut left = self.filter(hosts, wanted)?;
        let weights = self.weigh(hosts, &left, wanted);

        // Sorting all to use three would be most of the cost where hosts are many.
        let mut order: Vec<(f64, u32, usize)> = left
            .drain(..)
            .zip(weights)
            .map(|(index, weight)| (weight, if self.shuffle { rng.random() } else { 0 }, index))
            .collect();
        let best_first =
            |a: &(f64, u32, usize), b: &(f64, u32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2));
        let wanted_count = count.max(self.subset_size);
        if wanted_count < order.len() {
            order.select_nth_unstable_by(wanted_count, best_first);
            order.truncate(wanted_count);
        }
        order.sort_unstable_by(best_first);
        if self.subset_size > 1 {
            let drawn = rng.random_range(0..self.subset_size.min(order.len()));
            order[..=drawn].rotate_right(1);
        }
        order.truncate(count);
        Ok(order.into_iter().map(|(weight, _, index)| Selected { index, weight }).collect())
    }

    fn filter(&self, hosts: &[HostState], wanted: &Wanted) -> Result<Vec<usize>, NoneLeft> {
        if hosts.is_empty() {
            return Err(NoneLeft::NoHosts);
        }
        let eligible = |host: &HostState| {
            wanted.only_host.as_ref().is_none_or(|only| *only == host.host) && !wanted.ignore_hosts.contains(&host.host)
        };
        let mut left: Vec<usize> = (0..hosts.len()).filter(|index| eligible(&hosts[*index])).collect();
        if left.is_empty() {
            return Err(match &wanted.only_host {
                Some(only) => NoneLeft::NotThatOne(only.clone()),
                None => NoneLeft::AllExcluded(hosts.len()),
            });
        }
        for filter in &self.filters {
            let before = left.len();
            left.retain(|index| filter.passes(&hosts[*index], wanted, &self.config));
            if left.is_empty() {
                return Err(NoneLeft::Filtered { filter: filter.name(), before, total: hosts.len() });
            }
        }
        Ok(left)
    }

    fn weigh(&self, hosts: &[HostState], left: &[usize], wanted: &Wanted) -> Vec<f64> {
        let mut weights = vec![0.0; left.len()];
        let mut values = Vec::with_capacity(left.len());
        for (multiplier, weigher) in self.weighers.iter().filter(|(_, weigher)| weigher.matters(wanted)) {
            values.clear();
            values.extend(left.iter().map(|index| weigher.value(&hosts[*index], wanted)));
            add_weights(*multiplier, &values, &mut weights);
        }
        weights
    }
}
