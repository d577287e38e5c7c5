//! What a new cloud has of networks: an external one, and one that all projects share, with a router between them.

use jiff::Timestamp;
use novella_common::{
    db::{Connection, Database, quotas::lock},
    sql,
};
use novella_rest::ApiError;
use serde_json::{Value, json};

use crate::{
    addresses::{allocations, pool},
    attributes::{Base, Fields},
    resource::{self, Resource, by_default, insert_row},
    resources::{networks::Network, ports::Port, routers::Router, subnets::Subnet},
};

/// The ids of what every cloud has, so that two clouds made alike are alike and a script can name them.
const PUBLIC: &str = "ca11ab1e-0000-4000-8000-000000000001";
const PRIVATE: &str = "ca11ab1e-0000-4000-8000-000000000002";
const PUBLIC_SUBNET: &str = "ca11ab1e-0000-4000-8000-000000000003";
const PRIVATE_SUBNET: &str = "ca11ab1e-0000-4000-8000-000000000004";
const ROUTER: &str = "ca11ab1e-0000-4000-8000-000000000005";
const GATEWAY: &str = "ca11ab1e-0000-4000-8000-000000000006";
const INTERFACE: &str = "ca11ab1e-0000-4000-8000-000000000007";

/// The project that the external network belongs to. There is none of this id: the network is no project's own, so that a
/// server of whatever project that names no network is not put on it, and only administrators change it.
const CLOUD: &str = "ca11ab1e000040008000000000000000";

/// Puts in what a new cloud has, if there is no network at all. Several processes may do so at once.
///
/// # Errors
/// The database can't be written.
pub async fn run(database: &Database, project: &str) -> Result<(), ApiError> {
    let mut transaction = database.begin().await?;
    lock(&mut transaction, "network seed").await?;
    let networks: i64 = sql!("SELECT COUNT(*) FROM networks").fetch_one(&mut transaction).await?;
    if networks > 0 {
        return Ok(());
    }
    let seed = Seed { project, now: resource::now() };
    seed.networks(&mut transaction).await?;
    seed.router(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

struct Seed<'s> {
    project: &'s str,
    now: Timestamp,
}

impl Seed<'_> {
    /// Writes one thing with these values, and with those by default.
    async fn put<R: Resource>(
        &self,
        connection: &mut Connection,
        id: &str,
        project: &str,
        values: Value,
    ) -> Result<R, ApiError> {
        let given = by_default::<R>(project, values);
        let base = Base {
            id: id.to_owned(),
            project_id: project.to_owned(),
            now: self.now,
            revision_number: R::ABOUT.first_revision,
        };
        let row = <R as Fields>::from_values(base, &given.values)?;
        insert_row(connection, &row).await?;
        Ok(row)
    }

    async fn networks(&self, connection: &mut Connection) -> Result<(), ApiError> {
        let public = json!({
            "name": "public", "router:external": true, "is_default": true, "provider:network_type": "flat",
            "provider:physical_network": "public", "mtu": 1500,
        });
        self.put::<Network>(connection, PUBLIC, CLOUD, public).await?;
        let private = json!({
            "name": "private", "provider:network_type": "flat", "provider:physical_network": "private", "mtu": 1500,
        });
        self.put::<Network>(connection, PRIVATE, self.project, private).await?;
        let shared = [(PUBLIC, CLOUD, "access_as_external"), (PRIVATE, self.project, "access_as_shared")];
        for (network, project, action) in shared {
            sql!(
                "INSERT INTO network_rbac (id, project_id, object_type, object_id, action, target_project, \
                 revision_number, created_at, updated_at) VALUES (" (uuid::Uuid::new_v4().to_string()) ", "
                (project) ", " ("network") ", " (network) ", " (action) ", " ("*") ", " (0) ", " (self.now) ", "
                (self.now) ")"
            )
            .execute(connection)
            .await?;
        }
        let subnets = [
            (
                PUBLIC_SUBNET,
                "public-subnet",
                PUBLIC,
                "172.24.4.0/24",
                "172.24.4.1",
                "172.24.4.2",
                "172.24.4.254",
                false,
            ),
            (PRIVATE_SUBNET, "private-subnet", PRIVATE, "10.0.0.0/16", "10.0.0.1", "10.0.0.2", "10.0.255.254", true),
        ];
        for (id, name, network, cidr, gateway, start, end, dhcp) in subnets {
            let project = if network == PUBLIC { CLOUD } else { self.project };
            let values = json!({
                "name": name, "network_id": network, "ip_version": 4, "cidr": cidr, "gateway_ip": gateway,
                "allocation_pools": [{"start": start, "end": end}], "enable_dhcp": dhcp,
            });
            let subnet = self.put::<Subnet>(connection, id, project, values).await?;
            pool::fill(connection, &subnet.id, &subnet.pools()?).await?;
        }
        Ok(())
    }

    async fn router(&self, connection: &mut Connection) -> Result<(), ApiError> {
        let router = json!({
            "name": "router", "distributed": false, "ha": false, "gateway_network_id": PUBLIC, "gateway_port_id": GATEWAY,
        });
        self.put::<Router>(connection, ROUTER, self.project, router).await?;
        let ports = [
            (GATEWAY, "", PUBLIC, PUBLIC_SUBNET, "network:router_gateway", "fa:16:3e:00:00:01"),
            (INTERFACE, self.project, PRIVATE, PRIVATE_SUBNET, "network:router_interface", "fa:16:3e:00:00:01"),
        ];
        for (id, project, network, subnet, owner, mac) in ports {
            let values = json!({
                "network_id": network, "device_id": ROUTER, "device_owner": owner, "status": "ACTIVE",
                "mac_address": mac, "port_security_enabled": false, "ip_allocation": "immediate",
            });
            self.put::<Port>(connection, id, project, values).await?;
            let subnet = resource::look_up::<Subnet>(connection, subnet).await?.ok_or(ApiError::Broken)?;
            let gateway = subnet.gateway().filter(|_| id == INTERFACE);
            match gateway {
                Some(gateway) => {
                    allocations::give(connection, &subnet, id, gateway, 0).await?;
                }
                None => {
                    allocations::give_any(connection, &subnet, id, 0).await?;
                }
            }
        }
        Ok(())
    }
}
