//! `/floatingips/{id}/port_forwardings`: ports of one floating IP that lead to ports of several machines.

use novella_common::{
    db::{Connection, list::Condition, table},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::{Value, json};

use super::{
    floating_ips::{self, FloatingIp},
    ports::{self, Port},
};
use crate::{
    Networking, Request,
    attributes::{
        Otherwise::{Null, Text},
        attribute,
        checks::{Checked, Refusal, address, any, name, plain, range, uuid},
    },
    errors::{bad_request_of, conflict, invalid_input},
    policy,
    resource::{
        About, Given, Resource, View, Wanted, Whose, Work, bump, find, is_admin, locked, look_up,
        parts::{self, Part},
        rows_by,
    },
};

crate::resource! {
    /// A port forwarding.
    struct PortForwarding in "port_forwardings" {
        floatingip_id: String = attribute("floatingip_id", any).hidden();
        protocol: String = attribute("protocol", protocol).required().changed().filter().sort();
        internal_port_id: String = attribute("internal_port_id", uuid).required().changed().filter().sort();
        internal_ip_address: String = attribute("internal_ip_address", address).required().changed().filter().sort();
        internal_port: Option<i64> = attribute("internal_port", range::<1, 65535>).given_or(Null).changed().filter()
            .sort_nullable();
        external_port: Option<i64> = attribute("external_port", range::<1, 65535>).given_or(Null).changed().filter()
            .sort_nullable();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
    }
}

static PORT_FORWARDINGS: About = About {
    one: "port_forwarding",
    many: "port_forwardings",
    collection: "/floatingips/{floatingip_id}/port_forwardings",
    member: "/floatingips/{floatingip_id}/port_forwardings/{port_forwarding_id}",
    tags: None,
    missing: ("PortForwardingNotFound", "Port Forwarding ", " could not be found."),
    get: policy::GET_FLOATINGIP_PORT_FORWARDING,
    create: policy::CREATE_FLOATINGIP_PORT_FORWARDING,
    update: Some(policy::UPDATE_FLOATINGIP_PORT_FORWARDING),
    delete: policy::DELETE_FLOATINGIP_PORT_FORWARDING,
    quota: None,
    stamped: false,
    first_revision: 0,
    shared: None,
};

/// Protocols with ports.
fn protocol(value: &Value) -> Checked {
    let name = value.as_str().map(str::to_ascii_lowercase);
    match name.as_deref() {
        Some("tcp" | "udp" | "udplite" | "sctp" | "dccp") => Ok(name.into()),
        _ => Err(Refusal::Error(invalid_input(format!(
            "IP protocol '{}' is not supported. Only protocol names and their integer representation (0 to 255) are \
             supported",
            plain(value)
        )))),
    }
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    parts::operations::<PortForwarding>()
}

impl Part for PortForwarding {
    type Whole = FloatingIp;
    const OF: &'static str = "floatingip_id";

    fn whole(&self) -> &str {
        &self.floatingip_id
    }
}

impl Resource for PortForwarding {
    const ABOUT: &'static About = &PORT_FORWARDINGS;

    fn visible(request: &Request) -> Option<Condition> {
        if is_admin(request) {
            return None;
        }
        let project = request.context.project_id.as_deref().unwrap_or_default();
        Some(Condition::raw(sql!("floatingip_id IN (SELECT id FROM floating_ips WHERE project_id = " (project) ")")))
    }

    async fn whose(&self, _: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let floating = look_up::<FloatingIp>(connection, &self.floatingip_id).await?;
        Ok(Whose { parent: floating.map(|floating| floating.project_id), ..Whose::of(self.project_id.clone()) })
    }

    async fn whose_new(given: &Given, request: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let floating = given.text("floatingip_id").unwrap_or_default();
        let floating = find::<FloatingIp>(request, connection, floating).await?;
        Ok(Whose { parent: Some(floating.project_id), ..Whose::of(given.project.clone()) })
    }

    /// Of several that change or delete what one floating IP forwards, the second sees what the first has left.
    async fn lock_before(work: &mut Work<'_>, id: &str) -> Result<(), ApiError> {
        if let Some(forwarding) = look_up::<Self>(&mut work.transaction, id).await? {
            table::lock::<FloatingIp, _>(&mut work.transaction, &forwarding.floatingip_id).await?;
        }
        Ok(())
    }

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.check(work).await
    }

    async fn after_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        bump::<FloatingIp>(&mut work.transaction, &self.floatingip_id, work.now).await
    }

    async fn before_update(&mut self, _: &Self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.check(work).await
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let left: i64 = sql!(
            "SELECT COUNT(*) FROM port_forwardings WHERE floatingip_id = " (self.floatingip_id) " AND id <> " (self.id)
        )
        .fetch_one(&mut work.transaction)
        .await?;
        if left == 0 {
            self.set_router(work, None).await?;
        }
        Ok(())
    }

    async fn complete(
        _: &[Self],
        views: &mut [View<'_>],
        _: &Wanted<'_>,
        _: &Request,
        _: &mut Connection,
    ) -> Result<(), ApiError> {
        for view in views {
            view.remove("project_id");
            view.remove("tenant_id");
        }
        Ok(())
    }
}

impl PortForwarding {
    /// What is shown of it with its floating IP.
    pub(super) fn in_floating_ip(&self) -> Value {
        json!({
            "protocol": self.protocol, "internal_ip_address": self.internal_ip_address,
            "internal_port": self.internal_port, "external_port": self.external_port,
            "internal_port_id": self.internal_port_id, "id": self.id,
        })
    }

    async fn check(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let floating = locked::<FloatingIp>(work, &self.floatingip_id).await?;
        if floating.port_id.is_some() {
            return Err(conflict(
                "FipInUseByPortForwarding",
                format!("Floating IP {} is associated with a port and cannot forward ports.", floating.id),
            ));
        }
        let port = find::<Port>(work.request, &mut work.transaction, &self.internal_port_id).await?;
        let bound: Option<String> = sql!("SELECT id FROM floating_ips WHERE port_id = " (port.id) " LIMIT 1")
            .fetch_optional(&mut work.transaction)
            .await?;
        if bound.is_some() {
            return Err(conflict(
                "PortHasBindingFloatingIP",
                format!(
                    "Cannot create port forwarding to floating IP {} ({}) with port {} using fixed IP {}, as that port \
                     already has a binding floating IP.",
                    floating.floating_ip_address.as_deref().unwrap_or_default(),
                    floating.id,
                    port.id,
                    self.internal_ip_address
                ),
            ));
        }
        let addresses = ports::addresses_of(&mut work.transaction, &port.id).await?;
        let fixed = addresses.iter().find(|fixed| fixed.ip_address == self.internal_ip_address);
        let Some(fixed) = fixed else {
            let own: Vec<String> = addresses
                .iter()
                .map(|own| format!("{{'subnet_id': '{}', 'ip_address': '{}'}}", own.subnet_id, own.ip_address))
                .collect();
            return Err(bad_request_of(
                "port_forwarding",
                &format!(
                    "Requested internal IP address {} is not suitable for internal neutron port {}, as its fixed_ips are \
                     [{}]",
                    self.internal_ip_address,
                    port.id,
                    own.join(", ")
                ),
            ));
        };
        let others: Vec<Self> = rows_by(&mut work.transaction, "floatingip_id", [&floating.id]).await?;
        for other in others.iter().filter(|other| other.id != self.id && other.protocol == self.protocol) {
            let inside = |one: &Self| (one.internal_ip_address.clone(), one.internal_port);
            let collision = if inside(other) == inside(self) {
                Some(("internal", self.internal_port))
            } else if other.external_port == self.external_port {
                Some(("external", self.external_port))
            } else {
                None
            };
            if let Some((side, at)) = collision {
                let at = at.unwrap_or_default();
                return Err(bad_request_of(
                    "port_forwarding",
                    &format!(
                        "There is a port collision with the {side}_port_range. The following ranges collide: {at}:{at} and \
                         {at}:{at}"
                    ),
                ));
            }
        }
        let (router, _) = floating_ips::reach(work, &floating.floating_network_id, &fixed.subnet_id, &port.id).await?;
        self.set_router(work, Some(&router)).await
    }

    /// The floating IP's router, while it forwards something.
    async fn set_router(&self, work: &mut Work<'_>, router: Option<&str>) -> Result<(), ApiError> {
        let status = if router.is_some() { "ACTIVE" } else { "DOWN" };
        sql!(
            "UPDATE floating_ips SET router_id = " (router) ", status = " (status) " WHERE id = " (self.floatingip_id)
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(())
    }
}
