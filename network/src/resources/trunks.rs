//! `/trunks`: ports that carry the packets of others, each with a number of its own.

use std::collections::BTreeMap;

use axum::Json;
use novella_common::{
    db::{Connection, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation, Path, get, put};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ports::{Port, several};
use crate::{
    Networking, Request,
    attributes::{
        Attribute, Fields as _,
        Otherwise::{Flag, List, Text},
        attribute,
        checks::{self, Checked, Refusal, any, boolean, name, plain, uuid},
        read,
    },
    errors::{conflict, invalid_input, missing},
    policy,
    resource::{
        self, About, Given, Resource, View, Wanted, Work, found_for, grouped, is_admin, locked, locked_for, rows_by,
        swap, views,
    },
};

crate::resource! {
    /// A trunk.
    struct Trunk in "trunks" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        admin_state_up: bool = attribute("admin_state_up", boolean).given_or(Flag(true)).changed().filter().sort();
        port_id: String = attribute("port_id", uuid).required().filter().sort();
        status: String = attribute("status", any).begins(Text("DOWN")).filter().sort();
    }
}

static TRUNKS: About = About {
    one: "trunk",
    many: "trunks",
    collection: "/trunks",
    member: "/trunks/{trunk_id}",
    tags: Some(("/trunks/{trunk_id}/tags", "/trunks/{trunk_id}/tags/{tag}")),
    missing: ("TrunkNotFound", "Trunk ", " could not be found."),
    get: policy::GET_TRUNK,
    create: policy::CREATE_TRUNK,
    update: Some(policy::UPDATE_TRUNK),
    delete: policy::DELETE_TRUNK,
    quota: Some("trunk"),
    stamped: true,
    first_revision: 0,
    shared: None,
};

/// The owner of a port in a trunk.
const SUBPORT: &str = "trunk:subport";

/// A port in a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SubPort {
    port_id: String,
    segmentation_type: String,
    segmentation_id: i64,
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<Trunk>();
    operations.extend([
        get("/trunks/{trunk_id}/get_subports", policy::GET_SUBPORTS, get_subports),
        put("/trunks/{trunk_id}/add_subports", policy::ADD_SUBPORTS, add_subports),
        put("/trunks/{trunk_id}/remove_subports", policy::REMOVE_SUBPORTS, remove_subports),
    ]);
    operations
}

/// `[{"port_id", "segmentation_type", "segmentation_id"}]`.
fn sub_ports(value: &Value) -> Checked {
    let reason = |text: String| Refusal::Reason(text);
    let Some(items) = value.as_array() else {
        return Err(reason(format!("Invalid data format for subports: '{}' is not a list", plain(value))));
    };
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        let Some(item) = item.as_object() else {
            return Err(reason(format!("Invalid data format for subport: '{}' is not a dict", plain(item))));
        };
        let Some(port) = item.get("port_id") else {
            return Err(reason("A valid port UUID must be specified".to_owned()));
        };
        if uuid(port).is_err() {
            return Err(reason(format!("Invalid UUID for subport: '{}'", plain(port))));
        }
        if found.iter().any(|other| other["port_id"] == *port) {
            return Err(reason(format!("Non unique UUID for subport: '{}'", plain(port))));
        }
        let (kind, number) = (item.get("segmentation_type"), item.get("segmentation_id"));
        let (Some(kind), Some(number)) = (kind, number) else {
            return Err(Refusal::Error(invalid_input(format!(
                "Invalid subport details '{}': missing segmentation information. Must specify both segmentation_id and \
                 segmentation_type",
                plain(&Value::Object(item.clone()))
            ))));
        };
        if kind != "vlan" {
            return Err(Refusal::Error(invalid_input(format!("Unknown segmentation_type '{}'", plain(kind)))));
        }
        let Ok(number) = checks::range::<1, 4094>(number) else {
            let text = format!("Segmentation ID '{}' is not in range", plain(number));
            return Err(Refusal::Error(invalid_input(text)));
        };
        if found.iter().any(|other| other["segmentation_id"] == number) {
            return Err(reason(format!("Segmentation ID '{}' for '{}' is not unique", plain(&number), plain(port))));
        }
        found.push(json!({"port_id": port, "segmentation_type": kind, "segmentation_id": number}));
    }
    Ok(Value::Array(found))
}

impl Resource for Trunk {
    const ABOUT: &'static About = &TRUNKS;
    const OTHERS: &'static [Attribute] = &[attribute("sub_ports", sub_ports).given_or(List)];

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        let port = locked::<Port>(work, &self.port_id).await?;
        check_eligible(work, &port.id).await?;
        if !port.device_id.is_empty() && port.vif_type != "unbound" {
            return Err(parent_in_use(&port.id));
        }
        self.status = if port.status == "ACTIVE" { "ACTIVE" } else { "DOWN" }.to_owned();
        Ok(())
    }

    async fn after_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        let subs: Vec<SubPort> = read("sub_ports", given.values.get("sub_ports").unwrap_or(&json!([])))?;
        self.add(work, &subs).await
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let port = resource::look_up::<Port>(&mut work.transaction, &self.port_id).await?;
        if port.is_some_and(|port| !port.device_id.is_empty() && port.vif_type != "unbound") {
            return Err(conflict("TrunkInUse", format!("Trunk {} is currently in use.", self.id)));
        }
        let subs = subs_of(&mut work.transaction, &[&self.id]).await?;
        self.remove(work, subs.into_iter().map(|(_, sub)| sub.port_id)).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        _: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut subs = grouped(subs_of(connection, &ids).await?);
        for (row, view) in rows.iter().zip(views) {
            view.insert("sub_ports", json!(subs.remove(&row.id).unwrap_or_default()));
        }
        Ok(())
    }

    fn filter(_: &Request, _: &str, _: &[&str]) -> Result<Option<Condition>, ApiError> {
        Ok(None)
    }
}

/// The ports in these trunks, each with the trunk's id.
async fn subs_of(connection: &mut Connection, trunks: &[&str]) -> Result<Vec<(String, SubPort)>, ApiError> {
    if trunks.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql =
        sql!("SELECT trunk_id, port_id, segmentation_type, segmentation_id FROM trunk_subports WHERE trunk_id");
    let rows: Vec<(String, String, String, i64)> =
        sql.is_in(trunks).push(" ORDER BY trunk_id, segmentation_id").fetch_all(connection).await?;
    Ok(rows
        .into_iter()
        .map(|(trunk, port_id, segmentation_type, segmentation_id)| {
            (trunk, SubPort { port_id, segmentation_type, segmentation_id })
        })
        .collect())
}

/// 409 if a port that a trunk is to have is in a trunk already, or carries one.
async fn check_eligible(work: &mut Work<'_>, port: &str) -> Result<(), ApiError> {
    let carries: Option<String> =
        sql!("SELECT id FROM trunks WHERE port_id = "(port)).fetch_optional(&mut work.transaction).await?;
    if carries.is_some() {
        return Err(parent_in_use(port));
    }
    let within: Option<String> = sql!("SELECT trunk_id FROM trunk_subports WHERE port_id = "(port))
        .fetch_optional(&mut work.transaction)
        .await?;
    match within {
        None => Ok(()),
        Some(_) => Err(conflict("TrunkPortInUse", format!("Port {port} is in use by another trunk."))),
    }
}

fn parent_in_use(port: &str) -> ApiError {
    conflict(
        "ParentPortInUse",
        format!("Port {port} is currently in use and is not eligible for use as a parent port."),
    )
}

/// 409 if a port is in a trunk, or carries one.
async fn check_free(work: &mut Work<'_>, port: &str) -> Result<(), ApiError> {
    let parent: Option<String> =
        sql!("SELECT id FROM trunks WHERE port_id = "(port)).fetch_optional(&mut work.transaction).await?;
    if let Some(trunk) = parent {
        return Err(conflict(
            "PortInUseAsTrunkParent",
            format!("Port {port} is currently a parent port for trunk {trunk}."),
        ));
    }
    let sub: Option<String> = sql!("SELECT trunk_id FROM trunk_subports WHERE port_id = "(port))
        .fetch_optional(&mut work.transaction)
        .await?;
    match sub {
        None => Ok(()),
        Some(trunk) => {
            Err(conflict("PortInUseAsSubPort", format!("Port {port} is currently a subport for trunk {trunk}.")))
        }
    }
}

/// The same, for a port that is to be deleted.
pub(super) async fn check_unused(work: &mut Work<'_>, port: &str) -> Result<(), ApiError> {
    check_free(work, port).await
}

/// Which of these ports are in a trunk, or carry one.
pub(crate) async fn used(connection: &mut Connection, ports: &[&str]) -> Result<Vec<String>, ApiError> {
    let mut sql = sql!("SELECT port_id FROM trunks WHERE port_id");
    sql.is_in(ports).push(" UNION ALL SELECT port_id FROM trunk_subports WHERE port_id").is_in(ports);
    Ok(sql.fetch_all(connection).await?)
}

/// What ports that carry trunks show of them.
pub(super) async fn details_of(
    connection: &mut Connection,
    ports: &[&str],
) -> Result<BTreeMap<String, Value>, ApiError> {
    let trunks: Vec<Trunk> = rows_by(connection, "port_id", ports).await?;
    if trunks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<&str> = trunks.iter().map(|trunk| trunk.id.as_str()).collect();
    let subs = subs_of(connection, &ids).await?;
    let members: Vec<&str> = subs.iter().map(|(_, sub)| sub.port_id.as_str()).collect();
    let members: Vec<Port> = rows_by(connection, "id", members).await?;
    let shown = |sub: &SubPort| {
        let mac = members.iter().find(|port| port.id == sub.port_id).map(|port| port.mac().to_owned());
        json!({
            "segmentation_id": sub.segmentation_id, "segmentation_type": sub.segmentation_type, "port_id": sub.port_id,
            "mac_address": mac,
        })
    };
    Ok(trunks
        .iter()
        .map(|trunk| {
            let of_trunk: Vec<Value> =
                subs.iter().filter(|(id, _)| *id == trunk.id).map(|(_, sub)| shown(sub)).collect();
            (trunk.port_id.clone(), json!({"trunk_id": trunk.id, "sub_ports": of_trunk}))
        })
        .collect())
}

impl Trunk {
    async fn add(&self, work: &mut Work<'_>, subs: &[SubPort]) -> Result<(), ApiError> {
        let there = subs_of(&mut work.transaction, &[&self.id]).await?;
        for sub in subs {
            let port = locked::<Port>(work, &sub.port_id).await?;
            // Whose network it is on sees it, and yet has no use of it.
            if port.project_id != self.project_id && !is_admin(work.request) {
                return Err(Port::missing(&port.id));
            }
            check_eligible(work, &port.id).await?;
            if !port.device_id.is_empty() {
                return Err(several::in_use(&port));
            }
            let same = |other: &SubPort| {
                other.segmentation_type == sub.segmentation_type && other.segmentation_id == sub.segmentation_id
            };
            if there.iter().any(|(_, other)| same(other)) {
                return Err(conflict(
                    "DuplicateSubPort",
                    format!(
                        "segmentation_type {} and segmentation_id {} already in use on trunk {}.",
                        sub.segmentation_type, sub.segmentation_id, self.id
                    ),
                ));
            }
            sql!("UPDATE ports SET device_owner = " (SUBPORT) ", device_id = " (self.id) " WHERE id = " (port.id))
                .execute(&mut work.transaction)
                .await?;
        }
        if subs.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("INSERT INTO trunk_subports (port_id, trunk_id, segmentation_type, segmentation_id) ");
        sql.rows(subs, |sub, cells| {
            cells.bind(&sub.port_id).bind(&self.id).bind(&sub.segmentation_type).bind(&sub.segmentation_id);
        });
        sql.execute(&mut work.transaction).await?;
        Ok(())
    }

    async fn remove(&self, work: &mut Work<'_>, ports: impl Iterator<Item = String>) -> Result<(), ApiError> {
        for port in ports {
            let gone = sql!("DELETE FROM trunk_subports WHERE trunk_id = " (self.id) " AND port_id = " (port))
                .execute_one(&mut work.transaction)
                .await?;
            if !gone {
                return Err(missing(
                    "SubPortNotFound",
                    format!("SubPort {port} on trunk {} could not be found.", self.id),
                ));
            }
            // Unless something else has it by now.
            sql!(
                "UPDATE ports SET device_owner = " ("") ", device_id = " ("") " WHERE id = " (port)
                " AND device_owner = " (SUBPORT) " AND device_id = " (self.id)
            )
            .execute(&mut work.transaction)
            .await?;
        }
        Ok(())
    }

    /// 409 while it is switched off: then it stays as it is.
    fn check_enabled(&self) -> Result<(), ApiError> {
        if self.admin_state_up {
            return Ok(());
        }
        Err(conflict("TrunkDisabled", format!("Trunk {} is currently disabled.", self.id)))
    }

    /// Writes the change down, and answers with the bare trunk.
    async fn changed(mut self, mut work: Work<'_>) -> Result<Json<Value>, ApiError> {
        let seen = self.revision_number;
        self.bump(work.now);
        swap(&mut work.transaction, seen, &self).await?;
        let request = work.request;
        let view = views(request, &mut work.transaction, std::slice::from_ref(&self), &Wanted::all()).await?.pop();
        work.commit().await?;
        Ok(Json(json!(view)))
    }
}

async fn get_subports(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    found_for::<Trunk>(&request, &mut connection, policy::GET_SUBPORTS, &id).await?;
    let subs: Vec<SubPort> = subs_of(&mut connection, &[&id]).await?.into_iter().map(|(_, sub)| sub).collect();
    Ok(Json(json!({"sub_ports": subs})))
}

async fn add_subports(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let given = request.json().await?.get("sub_ports").cloned().unwrap_or_default();
    let mut work = Work::begin(&request).await?;
    let trunk = locked_for::<Trunk>(&mut work, policy::ADD_SUBPORTS, &id).await?;
    trunk.check_enabled()?;
    let subs = sub_ports(&given).map_err(|refusal| match refusal {
        Refusal::Reason(text) | Refusal::Convert(text) => invalid_input(text),
        Refusal::Error(error) => error,
    })?;
    let subs: Vec<SubPort> = read("sub_ports", &subs)?;
    trunk.add(&mut work, &subs).await?;
    trunk.changed(work).await
}

async fn remove_subports(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let given = request.json().await?.get("sub_ports").cloned().unwrap_or_default();
    let Some(given) = given.as_array() else {
        return Err(invalid_input(format!("Invalid data format for subports: '{}' is not a list", plain(&given))));
    };
    let ports: Vec<String> =
        given.iter().filter_map(|sub| sub.get("port_id").and_then(Value::as_str).map(ToOwned::to_owned)).collect();
    let mut work = Work::begin(&request).await?;
    let trunk = locked_for::<Trunk>(&mut work, policy::REMOVE_SUBPORTS, &id).await?;
    trunk.check_enabled()?;
    trunk.remove(&mut work, ports.into_iter()).await?;
    trunk.changed(work).await
}
