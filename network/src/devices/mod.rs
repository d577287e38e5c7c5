//! What the rest of the cloud asks of Networking directly, in the same process: ports for devices, which hosts they are on,
//! and what devices have. Without a detour over HTTP; whoever asks has asked his own policy.
//!
//! What several ask for at one moment is written in one transaction, in as many statements as for one.

mod addresses;
mod allocate;
mod bindings;
mod describe;
mod groups;
mod known;
mod questions;
mod release;

use std::{fmt, sync::Arc};

use futures_util::FutureExt;
use novella_common::{
    RequestContext,
    db::{Connection, Sql, together::Together},
};
use novella_rest::ApiError;

pub use self::{
    bindings::Binding,
    describe::{Interface, InterfaceAddress},
    questions::{NetworkView, NetworksAsked, PortView, PortsAsked, SecurityGroupView},
};
use crate::{NETWORK, Networking, Request};

/// Ports that are made or given back in one transaction at most, but for those of a single device: others wait for its
/// locks.
const MOST_TOGETHER: usize = 256;

/// What a device is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePorts {
    /// The device's id.
    pub device: String,
    /// What kind of thing it is: `compute:nova`.
    pub owner: String,
    /// The project that its ports are made for.
    pub project: String,
    /// Its name in the DNS; empty: none.
    pub name: String,
    /// The host that its ports are bound to.
    pub host: String,
    /// The ports, in their order.
    pub ports: Vec<PortWanted>,
    /// Security groups of the ports that are made; none: the project's default group.
    pub security_groups: Vec<String>,
    /// Whether it has other ports, which stay as they are; or whether these are all, of which some may be there.
    pub more: bool,
}

/// A port that a device is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortWanted {
    /// The network that it is to be on.
    pub network: String,
    /// It is there, and is this one.
    pub port: Option<String>,
    /// The address that it must have.
    pub address: Option<String>,
}

/// What a device gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The device.
    pub device: String,
    /// Only this one of its ports; `None`: all.
    pub only: Option<String>,
    /// Ports that are not deleted: the device is taken out of them.
    pub kept: Vec<String>,
}

/// Ports of devices. Clones share what waits to be written.
#[derive(Clone)]
pub struct Devices(Arc<Parts>);

struct Parts {
    networking: Networking,
    allocations: Together<Arc<DevicePorts>, Result<Vec<Interface>, ApiError>>,
    releases: Together<Release, Result<(), ApiError>>,
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}

impl Devices {
    /// Of this Networking.
    #[must_use]
    pub fn new(networking: Networking) -> Self {
        let here = networking.clone();
        let allocations = Together::new(
            MOST_TOGETHER,
            |wanted: &Arc<DevicePorts>| wanted.ports.len().max(1),
            move |wanted| {
                let request = inside(&here);
                async move { allocate::allocate(&request, &wanted).await }.boxed()
            },
        );
        let here = networking.clone();
        let releases = Together::new(
            MOST_TOGETHER,
            |_| 1,
            move |releases| {
                let request = inside(&here);
                async move { release::release(&request, &releases).await }.boxed()
            },
        );
        Self(Arc::new(Parts { networking, allocations, releases }))
    }

    /// Makes or takes the ports that a device is to have, all or none, and binds them to its host. What is there already is
    /// used: ports of the device on the same network, with the same address if one is asked for. The answer has them in the
    /// order in which they are asked for, and after them what else the device has; with [`DevicePorts::more`] them alone.
    ///
    /// # Errors
    /// Neutron's: no address left, a quota exceeded, something that is not there, a port that another device has.
    pub async fn allocate(&self, wanted: DevicePorts) -> Result<Vec<Interface>, ApiError> {
        self.0.allocations.write(Arc::new(wanted)).await.unwrap_or_else(|| Err(broken_off()))
    }

    /// Gives ports back, of all these devices or of none.
    ///
    /// # Errors
    /// The database's.
    pub async fn release(&self, releases: Vec<Release>) -> Result<(), ApiError> {
        if let Ok([release]) = <[Release; 1]>::try_from(releases.clone()) {
            return self.0.releases.write(release).await.unwrap_or_else(|| Err(broken_off()));
        }
        let request = self.inside();
        for some in releases.chunks(MOST_TOGETHER) {
            release::release(&request, some).await.into_iter().collect::<Result<(), ApiError>>()?;
        }
        Ok(())
    }

    /// Changes where the ports of a device are bound. Nothing is changed that is so already.
    ///
    /// # Errors
    /// The database's.
    pub async fn bind(&self, device: &str, binding: Binding<'_>) -> Result<(), ApiError> {
        bindings::bind(&self.inside(), device, binding).await
    }

    /// What these devices, each with its project, have there, in the order in which their ports were made. Whoever knows a
    /// device's id can give it to a port of another project, which shows nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn describe(&self, devices: &[(String, String)]) -> Result<Vec<Vec<Interface>>, ApiError> {
        describe::describe(&mut *self.0.networking.database.read().await?, devices).await
    }

    /// A request of the cloud's own.
    fn inside(&self) -> Request {
        inside(&self.0.networking)
    }

    /// A request on somebody's behalf, who sees what he may see.
    fn on_behalf(&self, context: &RequestContext) -> Request {
        Request::inside(self.0.networking.clone(), &NETWORK, context.clone())
    }
}

fn inside(networking: &Networking) -> Request {
    Request::inside(networking.clone(), &NETWORK, RequestContext::internal())
}

/// Who wrote for others has broken off.
fn broken_off() -> ApiError {
    ApiError::Unknown("Whether the ports were changed is not known. Please look before you try again.".into())
}

/// What the database refuses is tried again by itself; what is refused in words is the device's own.
fn refused(error: ApiError) -> Result<ApiError, ApiError> {
    match error {
        error @ (ApiError::Typed { .. } | ApiError::BadRequest(_)) => Ok(error),
        error => Err(error),
    }
}

/// Locks these devices until the transaction ends: what two processes do for one device comes one after the other.
async fn lock_devices<'d>(connection: &mut Connection, devices: impl Iterator<Item = &'d str>) -> Result<(), ApiError> {
    // In order, so that nobody waits in a circle.
    let devices: std::collections::BTreeSet<String> =
        devices.map(|device| format!("network device {device}")).collect();
    if devices.is_empty() {
        return Ok(());
    }
    // SQLite has one writer.
    let mut sql = Sql::default();
    sql.push_for("SELECT LENGTH(column1) FROM (", "SELECT pg_advisory_xact_lock(hashtextextended(column1, 0)) FROM (");
    sql.rows(devices, |device, cells| {
        cells.bind(&device);
    });
    sql.push(") AS v").execute(connection).await?;
    Ok(())
}
