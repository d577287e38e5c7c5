//! On which hosts the ports of a device are, while it moves.

use std::collections::BTreeMap;

use novella_common::db::{Json, Sql};
use novella_rest::ApiError;
use serde_json::{Map, Value};

use super::{describe::ports_of, lock_devices};
use crate::{
    Request,
    attributes::Fields as _,
    resource::{Work, grouped, retried},
    resources::ports::{Port, bindings, several},
};

/// What becomes of the bindings of a device's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// This host has them, too, and they stay where they are.
    Add(&'a str),
    /// They are on this host now; where they were they stay bound, inactive.
    Activate(&'a str),
    /// This host does not have them any more. If they are on it, they go to another host that has them; if there is none,
    /// they stay.
    Remove(&'a str),
    /// They are on this host, and no other has them.
    Only(&'a str),
}

/// See [`super::Devices::bind`].
pub(super) async fn bind(request: &Request, device: &str, binding: Binding<'_>) -> Result<(), ApiError> {
    retried!(try_bind(request, device, binding))
}

async fn try_bind(request: &Request, device: &str, binding: Binding<'_>) -> Result<(), ApiError> {
    let mut work = Work::begin(request).await?;
    lock_devices(&mut work.transaction, [device].into_iter()).await?;
    let mut ports = ports_of(&mut work.transaction, &[device], true).await?;
    if ports.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = ports.iter().map(|port| port.id.clone()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let inactive = bindings::inactive(&mut work.transaction, &ids).await?.into_iter();
    let mut others: BTreeMap<String, Vec<Other>> = grouped(
        inactive
            .map(|bindings::Inactive { port, host, vnic_type, profile }| (port, Other { host, vnic_type, profile })),
    );
    let seen = others.clone();
    let mut changed = Vec::new();
    for port in &mut ports {
        let of_port = others.entry(port.id.clone()).or_default();
        if change(port, of_port, binding) {
            port.bind();
            port.bump(work.now);
            changed.push(&*port);
        }
    }
    if !changed.is_empty() {
        several::write_devices(&mut work, &changed).await?;
    }
    others.retain(|_, others| !others.is_empty());
    if others != seen {
        several::forget_bindings(&mut work, &ids).await?;
        write(&mut work, &others).await?;
    }
    Ok(work.transaction.commit().await?)
}

/// A host that has a port, which is on another one.
#[derive(Clone, Debug, PartialEq)]
struct Other {
    host: String,
    vnic_type: String,
    profile: Map<String, Value>,
}

impl Other {
    fn of(port: &Port) -> Self {
        Self { host: port.host_id.clone(), vnic_type: port.vnic_type.clone(), profile: port.profile.clone() }
    }

    /// The port is on this host.
    fn activate(self, port: &mut Port) {
        port.host_id = self.host;
        port.vnic_type = self.vnic_type;
        port.profile = self.profile;
    }
}

/// Changes one port, and which other hosts have it. Says whether the port itself has changed.
fn change(port: &mut Port, others: &mut Vec<Other>, binding: Binding<'_>) -> bool {
    let on = |port: &Port, host: &str| port.host_id == host;
    match binding {
        Binding::Add(host) => {
            if !on(port, host) && !others.iter().any(|other| other.host == host) {
                others.push(Other { host: host.to_owned(), ..Other::of(port) });
            }
            false
        }
        Binding::Activate(host) if on(port, host) => false,
        Binding::Activate(host) => {
            let there = others.iter().position(|other| other.host == host).map(|index| others.remove(index));
            let was = Other::of(port);
            // One that has come since the others were added is bound all the same.
            let now = there.unwrap_or_else(|| Other { host: host.to_owned(), ..was.clone() });
            now.activate(port);
            if !was.host.is_empty() {
                others.push(was);
            }
            true
        }
        Binding::Remove(host) if on(port, host) => match others.pop() {
            Some(other) => {
                other.activate(port);
                true
            }
            None => false,
        },
        Binding::Remove(host) => {
            others.retain(|other| other.host != host);
            false
        }
        Binding::Only(host) => {
            let there = others.iter().position(|other| other.host == host).map(|index| others.remove(index));
            others.clear();
            if on(port, host) {
                return false;
            }
            there.unwrap_or_else(|| Other { host: host.to_owned(), ..Other::of(port) }).activate(port);
            true
        }
    }
}

async fn write(work: &mut Work<'_>, others: &BTreeMap<String, Vec<Other>>) -> Result<(), ApiError> {
    let rows: Vec<(&String, &Other)> =
        others.iter().flat_map(|(port, others)| others.iter().map(move |other| (port, other))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("INSERT INTO port_bindings (port_id, host, vnic_type, profile) ");
    sql.rows(rows, |(port, other), cells| {
        cells.bind(port).bind(&other.host).bind(&other.vnic_type).bind(&Json(&other.profile));
    });
    sql.execute(&mut work.transaction).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{attributes::Base, resource::by_default};

    fn port(host: &str) -> Port {
        let given = by_default::<Port>("p", json!({"network_id": "n", "device_owner": "compute:nova"}));
        let base = Base { id: "port".into(), project_id: "p".into(), now: crate::resource::now(), revision_number: 1 };
        let mut port = Port::from_values(base, &given.values).unwrap();
        port.host_id = host.to_owned();
        port
    }

    fn hosts(others: &[Other]) -> Vec<&str> {
        others.iter().map(|other| other.host.as_str()).collect()
    }

    #[test]
    fn a_move_adds_activates_and_removes_and_each_again_changes_nothing() {
        let (mut port, mut others) = (port("a"), Vec::new());
        for changed in [false, false] {
            assert_eq!(change(&mut port, &mut others, Binding::Add("b")), changed);
            assert_eq!((port.host_id.as_str(), hosts(&others)), ("a", vec!["b"]));
        }
        for changed in [true, false] {
            assert_eq!(change(&mut port, &mut others, Binding::Activate("b")), changed);
            assert_eq!((port.host_id.as_str(), hosts(&others)), ("b", vec!["a"]));
        }
        for changed in [false, false] {
            assert_eq!(change(&mut port, &mut others, Binding::Remove("a")), changed);
            assert_eq!((port.host_id.as_str(), hosts(&others)), ("b", vec![]));
        }
    }

    #[test]
    fn the_last_binding_stays_and_one_of_two_leaves_the_other() {
        let (mut port, mut others) = (port("a"), Vec::new());
        assert!(!change(&mut port, &mut others, Binding::Remove("a")));
        assert_eq!(port.host_id, "a");
        change(&mut port, &mut others, Binding::Add("b"));
        assert!(change(&mut port, &mut others, Binding::Remove("a")));
        assert_eq!((port.host_id.as_str(), hosts(&others)), ("b", vec![]));
    }

    #[test]
    fn only_one_host_has_them_whoever_had_them_before() {
        let (mut port, mut others) = (port("a"), Vec::new());
        change(&mut port, &mut others, Binding::Add("b"));
        assert!(change(&mut port, &mut others, Binding::Only("c")));
        assert_eq!((port.host_id.as_str(), hosts(&others)), ("c", vec![]));
        assert!(!change(&mut port, &mut others, Binding::Only("c")));
    }
}
