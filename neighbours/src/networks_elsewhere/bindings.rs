//! On which hosts the ports of an instance are, while it moves: Neutron's extended bindings.

use http::Method;
use novella_common::{
    ids::InstanceUuid,
    networks::{Binding, NetworkError},
};
use serde_json::{Value, json};

use super::{
    NetworksElsewhere,
    neutron::{As, but},
    views::text,
};

impl NetworksElsewhere {
    pub(super) async fn change_bindings(
        &self,
        instance: InstanceUuid,
        binding: Binding<'_>,
    ) -> Result<(), NetworkError> {
        for port in self.ports_of(&[&instance.to_string()]).await? {
            let (id, host) = (text(&port["id"]), text(&port["binding:host_id"]));
            match binding {
                Binding::Add(new) if new == host => {}
                Binding::Add(new) => {
                    let profile =
                        if port["binding:profile"].is_object() { &port["binding:profile"] } else { &json!({}) };
                    let values = json!({"host": new, "vnic_type": port["binding:vnic_type"], "profile": profile});
                    self.add_binding(&id, &values).await?;
                }
                Binding::Activate(new) if new == host => {}
                Binding::Activate(new) => self.activate(&id, new).await?,
                Binding::Remove(old) if old == host => {
                    if let Some(other) = self.others(&id, old).await?.first() {
                        self.activate(&id, other).await?;
                        self.remove_binding(&id, old).await?;
                    }
                }
                Binding::Remove(old) => self.remove_binding(&id, old).await?,
                Binding::Only(new) => {
                    if new != host {
                        self.activate(&id, new).await?;
                    }
                    self.forget_others(&id, new).await?;
                }
            }
        }
        Ok(())
    }

    /// The other hosts that have a port.
    async fn others(&self, port: &str, host: &str) -> Result<Vec<String>, NetworkError> {
        let answer = self.neutron.get(As::Service, &format!("/ports/{port}/bindings")).await?;
        let bindings = answer["bindings"].as_array().into_iter().flatten();
        Ok(bindings.map(|binding| text(&binding["host"])).filter(|other| other != host).collect())
    }

    /// A port is on this host, whether that was to be so or not. Where it was it stays bound, inactive.
    async fn activate(&self, port: &str, host: &str) -> Result<(), NetworkError> {
        let path = format!("/ports/{port}/bindings/{host}/activate");
        match self.neutron.ask(As::Service, Method::PUT, &path, None).await {
            Err(NetworkError::Refused { status: 404, kind, .. }) if kind != "PortNotFound" => {
                self.add_binding(port, &json!({"host": host})).await?;
                but(self.neutron.ask(As::Service, Method::PUT, &path, None).await, &[409])?;
                Ok(())
            }
            result => but(result, &[409]).map(|_: Value| ()),
        }
    }

    async fn add_binding(&self, port: &str, values: &Value) -> Result<(), NetworkError> {
        let body = json!({ "binding": values });
        let path = format!("/ports/{port}/bindings");
        but(self.neutron.ask(As::Service, Method::POST, &path, Some(&body)).await, &[409])?;
        Ok(())
    }

    async fn remove_binding(&self, port: &str, host: &str) -> Result<(), NetworkError> {
        let path = format!("/ports/{port}/bindings/{host}");
        but(self.neutron.ask(As::Service, Method::DELETE, &path, None).await, &[404])?;
        Ok(())
    }

    /// No other host has a port.
    pub(super) async fn forget_others(&self, port: &str, host: &str) -> Result<(), NetworkError> {
        for other in self.others(port, host).await? {
            self.remove_binding(port, &other).await?;
        }
        Ok(())
    }
}
