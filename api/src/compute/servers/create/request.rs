//! What a create may ask for, version by version, and what of it this cloud can do.
//!
//! What means nothing to a simulated guest is taken, kept and shown as by Nova. A volume, which there is none of, is refused
//! with a text that says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use novella_common::models::SchedulerHints;
use novella_rest::{
    ApiError, FieldTable, Microversion, field,
    inputs::{Description, Flag, Integer, Name, UuidText},
    object, refuse_unknown, typed, wrong,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    super::{hostname, metadata_rules::Metadata, tags::Tags},
    devices::{self, Devices},
    files::{self, Base64, File, Measured},
    hints,
    networks::{self, AskedNetworks},
};
use crate::compute::quotas::servers::Wanted;

/// The fields of `server` (nova/api/openstack/compute/schemas/servers.py, `create*`).
const FIELDS: FieldTable = FieldTable(&[
    field("name"),
    field("imageRef"),
    field("flavorRef"),
    field("adminPass"),
    field("metadata"),
    field("networks"),
    field("OS-DCF:diskConfig"),
    field("accessIPv4"),
    field("accessIPv6"),
    field("personality").until(56),
    field("availability_zone"),
    field("block_device_mapping"),
    field("block_device_mapping_v2"),
    field("config_drive"),
    field("key_name"),
    field("min_count"),
    field("max_count"),
    field("return_reservation_id"),
    field("security_groups"),
    field("user_data"),
    field("description").since(19).nullable(),
    field("tags").since(52),
    field("trusted_image_certificates").since(63).nullable(),
    field("host").since(74),
    field("hypervisor_hostname").since(74),
    field("hostname").since(90),
]);

/// The longest user data, as base64 text (nova's column).
const MAX_USER_DATA: usize = 65_535;

/// What `server` holds, before anything but types is checked.
#[derive(Deserialize, ToSchema)]
pub(super) struct Fields {
    name: Name,
    #[serde(default, rename = "imageRef")]
    image_ref: Option<String>,
    #[serde(rename = "flavorRef")]
    #[schema(value_type = String)]
    flavor_ref: Value,
    #[serde(default, rename = "adminPass")]
    admin_pass: Option<String>,
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Metadata,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    networks: Option<Value>,
    #[serde(default, rename = "OS-DCF:diskConfig")]
    disk_config: Option<DiskConfig>,
    #[serde(default, rename = "accessIPv4")]
    #[schema(value_type = Option<String>)]
    access_ip_v4: Option<Ipv4Addr>,
    #[serde(default, rename = "accessIPv6")]
    #[schema(value_type = Option<String>)]
    access_ip_v6: Option<Ipv6Addr>,
    #[serde(default)]
    personality: Vec<File>,
    #[serde(default)]
    availability_zone: Option<Name>,
    #[serde(default)]
    config_drive: Option<Flag>,
    #[serde(default)]
    key_name: Option<Name>,
    #[serde(default)]
    min_count: Option<Integer<1>>,
    #[serde(default)]
    max_count: Option<Integer<1>>,
    #[serde(default)]
    return_reservation_id: Option<Flag>,
    #[serde(default)]
    security_groups: Option<Vec<SecurityGroup>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    user_data: Option<Base64>,
    #[serde(default)]
    description: Option<Description>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    tags: Tags,
    #[serde(default)]
    trusted_image_certificates: Option<Vec<String>>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    hypervisor_hostname: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecurityGroup {
    name: Option<Name>,
}

/// How the guest's file system and its disk are to be of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::compute::servers) enum DiskConfig {
    /// The file system is made to fill the disk.
    Auto,
    /// It is left as it is in the image.
    Manual,
}

impl DiskConfig {
    /// Under the name that the API has for it.
    pub(in crate::compute::servers) fn shown(auto: bool) -> &'static str {
        if auto { "AUTO" } else { "MANUAL" }
    }
}

/// A create, checked: all that is left to find out is in the database.
#[derive(Debug, ToSchema)]
#[schema(as = ServerRequest)]
pub(super) struct ServerRequest {
    pub(super) name: String,
    pub(super) hostname: Option<String>,
    pub(super) description: Option<String>,
    pub(super) image_id: String,
    pub(super) flavor_id: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) user_data: Option<String>,
    pub(super) config_drive: bool,
    pub(super) key_name: Option<String>,
    pub(super) tags: Tags,
    /// How many are to be made.
    #[schema(value_type = Object)]
    pub(super) count: Wanted,
    #[schema(value_type = Object)]
    pub(super) files: Measured,
    pub(super) admin_pass: Option<String>,
    /// As they are called; `default` where none is named.
    pub(super) security_groups: Vec<String>,
    pub(super) return_reservation_id: bool,
    #[schema(value_type = Object)]
    pub(super) hints: SchedulerHints,
    pub(super) access_ip_v4: Option<String>,
    pub(super) access_ip_v6: Option<String>,
    /// `None`: as the image says.
    pub(super) disk_config: Option<DiskConfig>,
    pub(super) trusted_certs: Vec<String>,
    #[schema(value_type = Object)]
    pub(super) networks: AskedNetworks,
    #[schema(value_type = Object)]
    pub(super) devices: Devices,
    zone: Option<String>,
    host: Option<String>,
}

/// Where a server is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestedDestination {
    /// In this zone.
    pub(super) zone: Option<String>,
    /// On this host.
    pub(super) host: Option<String>,
    /// The host was named by `zone:host`, which has a rule of its own.
    pub(super) forced: bool,
}

impl ServerRequest {
    /// `zone`, `zone:host` and `zone:host:node`, and the field `host`.
    ///
    /// # Errors
    /// 400 for both a forced and a requested host.
    pub(super) fn placement(&self) -> Result<RequestedDestination, ApiError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut parts = self.zone.as_deref().unwrap_or_default().splitn(3, ':');
        let zone = parts.next().and_then(some);
        // One hypervisor a host: a node is named as its host is.
        let forced = parts.next().and_then(some).or_else(|| parts.next().and_then(some));
        if forced.is_some() && self.host.is_some() {
            return Err(ApiError::bad_request(
                "Forced host and requested host can't be given together: leave one of availability_zone and host out.",
            ));
        }
        Ok(RequestedDestination { zone, forced: forced.is_some(), host: forced.or_else(|| self.host.clone()) })
    }
}

/// Reads a create.
///
/// # Errors
/// 400 that names the field.
pub(super) fn read(body: &Value, version: Microversion, most: u32) -> Result<ServerRequest, ApiError> {
    let body = novella_rest::as_object(body)?;
    if let Some(other) = body.keys().find(|key| *key != "server" && !hints::NAMES.contains(&key.as_str())) {
        return Err(refuse_unknown("", other));
    }
    let hints = hints::read(body)?;
    let server =
        body.get("server").ok_or_else(|| ApiError::bad_request("Invalid input: 'server' is a required property"))?;
    let server = object("server", server)?;
    FIELDS.check("server", server, version)?;
    for group in server.get("security_groups").and_then(Value::as_array).into_iter().flatten() {
        object("server.security_groups", group)?;
    }
    let fields: Fields = typed("server", &Value::Object(server.clone()))?;

    let files = files::measure(&fields.personality)?;
    let networks = networks::read(fields.networks.as_ref(), version)?;
    let named = fields.image_ref.as_deref().filter(|image| !image.is_empty());
    let devices = devices::read(server, named, version)?;
    let image_id = image(named.or(devices.image.as_deref()))?;
    let flavor_id = flavor(&fields.flavor_ref)?;
    let count = count(&fields, most)?;
    networks.check_count(count.most)?;
    let user_data = fields.user_data.map(user_data).transpose()?;
    let hostname = fields.hostname.map(|name| hostname::checked(name, version)).transpose()?;
    if hostname.is_some() && count.most > 1 {
        return Err(ApiError::bad_request("Unable to allocate a single hostname to multiple instances"));
    }
    let trusted_certs = fields.trusted_image_certificates.map(trusted_certs).transpose()?.unwrap_or_default();
    let security_groups = security_groups(fields.security_groups);
    for (field, name) in [("host", &fields.host), ("hypervisor_hostname", &fields.hypervisor_hostname)] {
        name.as_deref().map(|name| hostname::qualified(&format!("server.{field}"), name)).transpose()?;
    }
    let host = one_host(fields.host, fields.hypervisor_hostname)?;
    // Before descriptions there was one all the same: the name.
    let description = match version.before(19) {
        true => Some(fields.name.0.clone()),
        false => fields.description.map(|text| text.0),
    };
    Ok(ServerRequest {
        name: fields.name.0,
        hostname,
        description,
        image_id,
        flavor_id,
        metadata: fields.metadata.0,
        user_data,
        config_drive: fields.config_drive.is_some_and(|flag| flag.0),
        key_name: fields.key_name.map(|name| name.0),
        tags: fields.tags,
        count,
        files,
        admin_pass: fields.admin_pass,
        security_groups,
        return_reservation_id: fields.return_reservation_id.is_some_and(|flag| flag.0),
        hints,
        access_ip_v4: fields.access_ip_v4.map(|address| address.to_string()),
        access_ip_v6: fields.access_ip_v6.map(|address| address.to_string()),
        disk_config: fields.disk_config,
        trusted_certs,
        networks,
        devices,
        zone: fields.availability_zone.map(|zone| zone.0),
        host,
    })
}

fn image(image: Option<&str>) -> Result<String, ApiError> {
    let image = image.ok_or_else(|| ApiError::bad_request("Invalid imageRef provided."))?;
    let UuidText(id) = typed("server.imageRef", &Value::from(image))?;
    Ok(id.to_string())
}

/// An id, or a link that ends in one; clients send numbers too.
fn flavor(flavor: &Value) -> Result<String, ApiError> {
    match flavor {
        Value::String(text) if !text.is_empty() => Ok(text.rsplit('/').next().unwrap_or(text).to_owned()),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        other => Err(wrong("server.flavorRef", other, "It must be a flavor's id.")),
    }
}

fn count(fields: &Fields, most: u32) -> Result<Wanted, ApiError> {
    let (min, max) = (fields.min_count.map(|count| count.0), fields.max_count.map(|count| count.0));
    let (min, max) = (min.unwrap_or(1), max.or(min).unwrap_or(1));
    if min > max {
        return Err(ApiError::bad_request("min_count must be <= max_count"));
    }
    let wanted = u32::try_from(min).ok().zip(u32::try_from(max).ok()).filter(|(_, max)| *max <= most);
    let (least, most) = wanted.ok_or_else(|| {
        ApiError::bad_request(format!("max_count is {max}; one request may ask for {most} servers at most."))
    })?;
    Ok(Wanted { least, most })
}

fn user_data(Base64(text): Base64) -> Result<String, ApiError> {
    if text.len() > MAX_USER_DATA {
        return Err(ApiError::bad_request(format!(
            "Invalid input for field/attribute user_data. It is {} characters long; {MAX_USER_DATA} are allowed.",
            text.len()
        )));
    }
    Ok(text)
}

/// 1 to 50 ids, none twice.
fn trusted_certs(ids: Vec<String>) -> Result<Vec<String>, ApiError> {
    const MOST: usize = 50;
    let different: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    if ids.is_empty() || ids.len() > MOST || different.len() < ids.len() || different.contains("") {
        let text = format!("It must be a list of 1 to {MOST} different ids.");
        return Err(wrong("server.trusted_image_certificates", &ids.into(), &text));
    }
    Ok(ids)
}

/// Those that are named, each once.
fn security_groups(groups: Option<Vec<SecurityGroup>>) -> Vec<String> {
    let Some(groups) = groups else { return vec!["default".into()] };
    let names: BTreeSet<String> = groups.into_iter().filter_map(|group| group.name).map(|name| name.0).collect();
    names.into_iter().collect()
}

fn one_host(host: Option<String>, node: Option<String>) -> Result<Option<String>, ApiError> {
    match (host, node) {
        // One hypervisor a host, of the same name.
        (Some(host), Some(node)) if host != node => {
            Err(ApiError::bad_request(format!("No hypervisor {node} could be found on host {host}.")))
        }
        (host, node) => Ok(host.or(node)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const IMAGE: &str = "c1227000-0000-4000-8000-000000000001";

    fn with(minor: u16, more: &Value) -> Result<ServerRequest, String> {
        let mut server = json!({"name": "s", "imageRef": IMAGE, "flavorRef": "1"});
        for (key, value) in more.as_object().unwrap() {
            server[key] = value.clone();
        }
        let body = json!({ "server": server });
        read(&body, Microversion::new(2, minor), 100).map_err(|error| error.to_string())
    }

    #[test]
    fn what_openstackclient_sends_is_taken() {
        let device = json!({"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local",
            "delete_on_termination": true});
        let request = with(
            100,
            &json!({"min_count": 1, "max_count": 1, "networks": "none",
            "block_device_mapping_v2": [device]}),
        );
        assert_eq!(request.map(|request| (request.count.most, request.image_id)), Ok((1, IMAGE.into())));
    }

    #[test]
    fn a_number_or_a_link_names_a_flavor_too() {
        assert_eq!(with(1, &json!({"flavorRef": 42})).map(|r| r.flavor_id), Ok("42".into()));
        assert_eq!(with(1, &json!({"flavorRef": "http://x/flavors/42"})).map(|r| r.flavor_id), Ok("42".into()));
        assert!(with(1, &json!({"flavorRef": null})).is_err());
    }

    #[test]
    fn a_field_of_a_later_version_is_refused_by_name() {
        assert!(with(18, &json!({"description": "d"})).unwrap_err().contains("('description' was unexpected)"));
        assert_eq!(with(19, &json!({"description": "d"})).map(|r| r.description), Ok(Some("d".into())));
        assert_eq!(with(18, &json!({})).map(|r| r.description), Ok(Some("s".into())));
    }

    #[test]
    fn what_nova_refuses_is_refused() {
        let file = |contents: String| json!({"path": "/etc/motd", "contents": contents});
        for (field, value) in [
            ("OS-DCF:diskConfig", json!("auto")),
            ("accessIPv4", json!("10.0.0")),
            ("accessIPv4", json!("::1")),
            ("accessIPv6", json!("")),
            ("personality", json!([{"path": "/etc/motd"}])),
            ("personality", json!([file("no base64!".into())])),
            ("security_groups", json!([{"name": " web"}])),
            ("networks", json!("none")),
            ("user_data", json!("not base64!")),
            ("min_count", json!(0)),
            ("max_count", json!(101)),
        ] {
            assert!(with(1, &json!({ field: value })).is_err(), "{field}: {value}");
        }
        for value in [json!([]), json!(["a", "a"]), json!([""]), json!("a")] {
            let body = json!({"networks": "none", "trusted_image_certificates": value});
            assert!(with(63, &body).is_err(), "{body}");
        }
        assert_eq!(with(1, &json!({"min_count": 3, "max_count": 2})).unwrap_err(), "min_count must be <= max_count");
    }

    #[test]
    fn a_zone_may_name_a_host() {
        let placement = |zone: &str| with(1, &json!({"availability_zone": zone})).unwrap().placement().unwrap();
        let expected = |zone: Option<&str>, host: Option<&str>| RequestedDestination {
            zone: zone.map(ToOwned::to_owned),
            host: host.map(ToOwned::to_owned),
            forced: host.is_some(),
        };
        assert_eq!(placement("nova"), expected(Some("nova"), None));
        assert_eq!(placement("nova:host1"), expected(Some("nova"), Some("host1")));
        assert_eq!(placement("nova::host1"), expected(Some("nova"), Some("host1")));
        assert_eq!(placement(":host1"), expected(None, Some("host1")));
    }

    proptest! {
        /// Whatever a client sends comes to a request or to a refusal.
        #[test]
        fn no_value_makes_the_reader_panic(
            index in 0..FIELDS.0.len(),
            value in prop_oneof![
                Just(json!(null)), Just(json!({})), Just(json!([])), Just(json!([null])), Just(json!([{}])),
                any::<i64>().prop_map(|n| json!(n)), ".{0,8}".prop_map(|s| json!(s)), any::<bool>().prop_map(|b| json!(b)),
            ],
            minor in 1u16..105,
        ) {
            let _ = with(minor, &json!({ FIELDS.0[index].name: value }));
        }
    }
}
