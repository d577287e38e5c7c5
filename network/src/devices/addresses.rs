//! The addresses of new ports, taken for all of them together.

use std::collections::{BTreeMap, BTreeSet};

use novella_common::db::Connection;
use novella_rest::ApiError;

use super::{
    allocate::{Planned, Plans, new_ports},
    refused,
};
use crate::{
    addresses::{
        address_in,
        allocations::{self, FixedIp},
        pool,
    },
    resource::Work,
    resources::{
        ports::{Source, none_left},
        subnets::Subnet,
    },
};

/// An address that a new port has got.
pub(super) struct Addressed<'k> {
    subnet: &'k Subnet,
    pub(super) fixed: FixedIp,
    /// Whether it is written down; or only taken from what is free.
    pub(super) written: bool,
}

/// Addresses that were taken from what is free, and that no port has got yet.
#[derive(Default)]
pub(super) struct Stock<'k> {
    /// By subnet.
    free: BTreeMap<&'k str, (&'k Subnet, Vec<u128>)>,
    /// Subnets that have no more.
    empty: BTreeSet<&'k str>,
}

/// Gives new ports their addresses. What is left over is in the stock.
pub(super) async fn give<'k>(work: &mut Work<'_>, plans: &mut Plans<'k>) -> Result<Stock<'k>, ApiError> {
    let mut stock = Stock::default();
    // Those that are named first: no other port gets one of them by chance.
    for plan in plans.iter_mut() {
        let Ok(planned) = plan else { continue };
        if let Err(error) = give_named(&mut work.transaction, planned).await {
            let error = refused(error)?;
            stock.take_from(&mut work.transaction, planned).await?;
            *plan = Err(error);
        }
    }
    let mut wanted: BTreeMap<&'k str, (&'k Subnet, usize)> = BTreeMap::new();
    for source in new_ports(plans).flat_map(|planned| &planned.sources) {
        if let Source::Any(subnets) = source
            && let Some(subnet) = subnets.first().copied()
        {
            wanted.entry(subnet.id.as_str()).or_insert((subnet, 0)).1 += 1;
        }
    }
    for (subnet, count) in wanted.into_values() {
        stock.draw(&mut work.transaction, subnet, count).await?;
    }
    for plan in plans.iter_mut() {
        let Ok(planned) = plan else { continue };
        if let Err(error) = stock.give_any(&mut work.transaction, planned).await {
            let error = refused(error)?;
            stock.take_from(&mut work.transaction, planned).await?;
            *plan = Err(error);
        }
    }
    Ok(stock)
}

/// Gives the new ports of a device those of their addresses that are named.
async fn give_named<'k>(connection: &mut Connection, planned: &mut [Planned<'k>]) -> Result<(), ApiError> {
    for planned in planned {
        planned.addresses.resize_with(planned.sources.len(), || None);
        for (index, source) in planned.sources.iter().enumerate() {
            if let Source::This(subnet, address) = source {
                let position = i64::try_from(index).unwrap_or(i64::MAX);
                let fixed = allocations::give(connection, subnet, &planned.port.id, *address, position).await?;
                planned.addresses[index] = Some(Addressed { subnet, fixed, written: true });
            }
        }
    }
    Ok(())
}

impl<'k> Stock<'k> {
    /// Takes this many addresses from what is free in a subnet, or as many as there are.
    async fn draw(&mut self, connection: &mut Connection, subnet: &'k Subnet, count: usize) -> Result<(), ApiError> {
        if self.empty.contains(subnet.id.as_str()) {
            return Ok(());
        }
        let drawn = pool::take_many(connection, &subnet.id, &subnet.pools()?, count).await?;
        if drawn.len() < count {
            self.empty.insert(&subnet.id);
        }
        self.of(subnet).extend(drawn);
        Ok(())
    }

    fn of(&mut self, subnet: &'k Subnet) -> &mut Vec<u128> {
        &mut self.free.entry(&subnet.id).or_insert_with(|| (subnet, Vec::new())).1
    }

    /// Gives the new ports of a device those of their addresses that are not named.
    async fn give_any(&mut self, connection: &mut Connection, planned: &mut [Planned<'k>]) -> Result<(), ApiError> {
        for planned in planned {
            for (index, source) in planned.sources.iter().enumerate() {
                if let Source::Any(subnets) = source {
                    let addressed = self.any_of(connection, subnets).await?;
                    planned.addresses[index] = Some(addressed.ok_or_else(|| none_left(&planned.port))?);
                }
            }
        }
        Ok(())
    }

    async fn any_of(
        &mut self,
        connection: &mut Connection,
        subnets: &[&'k Subnet],
    ) -> Result<Option<Addressed<'k>>, ApiError> {
        for subnet in subnets.iter().copied() {
            if self.of(subnet).is_empty() {
                self.draw(connection, subnet, 1).await?;
            }
            if let Some(number) = self.of(subnet).pop() {
                let address = address_in(&subnet.network()?, number).to_string();
                let fixed = FixedIp { subnet_id: subnet.id.clone(), ip_address: address };
                return Ok(Some(Addressed { subnet, fixed, written: false }));
            }
        }
        Ok(None)
    }

    /// Takes their addresses from the ports of a device that is refused.
    pub(super) async fn take_from(
        &mut self,
        connection: &mut Connection,
        planned: &mut [Planned<'k>],
    ) -> Result<(), ApiError> {
        for planned in planned {
            for Addressed { subnet, fixed, written } in std::mem::take(&mut planned.addresses).into_iter().flatten() {
                if written {
                    allocations::take_back(connection, subnet, &fixed).await?;
                } else {
                    let number = fixed.number();
                    self.of(subnet).extend(number);
                }
            }
        }
        Ok(())
    }

    /// Gives back what nobody has got.
    pub(super) async fn give_back(self, connection: &mut Connection) -> Result<(), ApiError> {
        for (subnet, numbers) in self.free.into_values() {
            pool::give_back_many(connection, &subnet.id, numbers).await?;
        }
        Ok(())
    }
}
