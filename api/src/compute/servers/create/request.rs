//! What a create may ask for, version by version, and what of it this cloud can do.
//!
//! What Nova takes and this cloud has nothing for is refused with a text that says so, never taken and forgotten: a
//! client that asks for a network and gets a server without one has been told a lie.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use novella_common::models::SchedulerHints;
use novella_rest::{
    ApiError, FieldTable, Microversion, field,
    inputs::{Description, Flag, Integer, Name, UuidText},
    object, refuse_unknown, typed, wrong,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    super::{
        hostname,
        metadata_rules::{self, Metadata},
        tags::Tags,
    },
    hints,
};

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
    disk_config: Option<String>,
    #[serde(default, rename = "accessIPv4")]
    access_ip_v4: Option<String>,
    #[serde(default, rename = "accessIPv6")]
    access_ip_v6: Option<String>,
    #[serde(default)]
    personality: Vec<Value>,
    #[serde(default)]
    availability_zone: Option<Name>,
    #[serde(default)]
    block_device_mapping: Vec<Value>,
    #[serde(default)]
    block_device_mapping_v2: Vec<BlockDevice>,
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
    user_data: Option<String>,
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
    name: Name,
}

/// An entry of `block_device_mapping_v2`. Fields that are not here make a device that this cloud can't.
#[derive(Deserialize, ToSchema)]
struct BlockDevice {
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    source_type: Option<String>,
    #[serde(default)]
    destination_type: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    boot_index: Option<Value>,
    #[serde(default = "kept_for_no_longer")]
    delete_on_termination: Flag,
    #[serde(flatten)]
    #[schema(ignore)]
    others: Map<String, Value>,
}

/// A disk that is not a volume goes with its server.
fn kept_for_no_longer() -> Flag {
    Flag(true)
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
    pub(super) count: u32,
    pub(super) admin_pass: Option<String>,
    pub(super) security_groups: Vec<String>,
    pub(super) return_reservation_id: bool,
    #[schema(value_type = Object)]
    pub(super) hints: SchedulerHints,
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

    refuse_what_is_not_there(&fields)?;
    networks(fields.networks.as_ref(), version)?;
    let image_id = image(&fields)?;
    block_devices(&fields, &image_id)?;
    let flavor_id = flavor(&fields.flavor_ref)?;
    let count = count(&fields, most)?;
    metadata_rules::check_count(&fields.metadata.0)?;
    let user_data = fields.user_data.map(user_data).transpose()?;
    let hostname = fields.hostname.map(|name| hostname::checked(name, version)).transpose()?;
    let security_groups = security_groups(fields.security_groups)?;
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
        admin_pass: fields.admin_pass,
        security_groups,
        return_reservation_id: fields.return_reservation_id.is_some_and(|flag| flag.0),
        hints,
        zone: fields.availability_zone.map(|zone| zone.0),
        host,
    })
}

/// What Nova takes and this cloud has nothing for.
fn refuse_what_is_not_there(fields: &Fields) -> Result<(), ApiError> {
    let refuse = |given: bool, text: &str| if given { Err(ApiError::bad_request(text)) } else { Ok(()) };
    refuse(!fields.personality.is_empty(), "personality: files are not put into servers here; use user_data.")?;
    refuse(
        fields.trusted_image_certificates.is_some(),
        "trusted_image_certificates: image signatures are not verified here.",
    )?;
    refuse(
        fields.access_ip_v4.is_some() || fields.access_ip_v6.is_some(),
        "accessIPv4 and accessIPv6 are not kept here; use metadata.",
    )?;
    match fields.disk_config.as_deref() {
        None | Some("MANUAL") => Ok(()),
        Some("AUTO") => {
            Err(ApiError::bad_request("OS-DCF:diskConfig: disks are not resized for the guest; use MANUAL."))
        }
        Some(_) => Err(ApiError::bad_request("OS-DCF:diskConfig must be either 'MANUAL' or 'AUTO'.")),
    }
}

/// No network service yet: only what asks for no particular network.
fn networks(networks: Option<&Value>, version: Microversion) -> Result<(), ApiError> {
    let words_allowed = version.at_least(37);
    match networks {
        None if words_allowed => {
            Err(ApiError::bad_request("Invalid input for field/attribute server. 'networks' is a required property"))
        }
        None => Ok(()),
        Some(Value::Array(list)) if list.is_empty() => Ok(()),
        Some(Value::String(word)) if words_allowed && matches!(word.as_str(), "none" | "auto") => Ok(()),
        Some(Value::Array(_)) => Err(ApiError::bad_request(format!(
            "networks: this cloud has no network service, so that no network or port can be found. {}",
            if words_allowed { "Ask for 'none' or 'auto'." } else { "Leave networks out." }
        ))),
        Some(other) => Err(wrong("server.networks", other, "It is not one that this microversion takes.")),
    }
}

fn image(fields: &Fields) -> Result<String, ApiError> {
    let from_device = || fields.block_device_mapping_v2.iter().find_map(|device| device.uuid.as_deref());
    let image = fields.image_ref.as_deref().filter(|image| !image.is_empty()).or_else(from_device);
    let image = image.ok_or_else(|| ApiError::bad_request("Invalid imageRef provided."))?;
    let UuidText(id) = typed("server.imageRef", &Value::from(image))?;
    Ok(id.to_string())
}

/// Accepts what describes the image's own disk, which is what openstackclient always sends.
fn block_devices(fields: &Fields, image_id: &str) -> Result<(), ApiError> {
    let root = |device: &BlockDevice| {
        let is = |field: &Option<String>, wanted: &str| field.as_deref() == Some(wanted);
        let first = match &device.boot_index {
            Some(Value::Number(index)) => index.as_i64() == Some(0),
            Some(Value::String(index)) => index == "0",
            _ => false,
        };
        is(&device.source_type, "image")
            && is(&device.destination_type, "local")
            && is(&device.uuid, image_id)
            && first
            && device.delete_on_termination.0
            && device.others.is_empty()
    };
    match fields.block_device_mapping_v2.as_slice() {
        [] if fields.block_device_mapping.is_empty() => Ok(()),
        [device] if root(device) && fields.block_device_mapping.is_empty() => Ok(()),
        _ => Err(ApiError::bad_request(
            "Block Device Mapping is Invalid: this cloud has no volume service. The only device that can be asked for \
             is the image's own disk (source_type image, destination_type local, boot_index 0, uuid as imageRef, \
             delete_on_termination true).",
        )),
    }
}

/// An id, or a link that ends in one; clients send numbers too.
fn flavor(flavor: &Value) -> Result<String, ApiError> {
    match flavor {
        Value::String(text) if !text.is_empty() => Ok(text.rsplit('/').next().unwrap_or(text).to_owned()),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        other => Err(wrong("server.flavorRef", other, "It must be a flavor's id.")),
    }
}

fn count(fields: &Fields, most: u32) -> Result<u32, ApiError> {
    let (min, max) = (fields.min_count.map(|count| count.0), fields.max_count.map(|count| count.0));
    let (min, max) = (min.unwrap_or(1), max.or(min).unwrap_or(1));
    if min > max {
        return Err(ApiError::bad_request("min_count must be <= max_count"));
    }
    u32::try_from(max).ok().filter(|count| *count <= most).ok_or_else(|| {
        ApiError::bad_request(format!("max_count is {max}; one request may ask for {most} servers at most."))
    })
}

fn user_data(text: String) -> Result<String, ApiError> {
    if text.len() > MAX_USER_DATA {
        return Err(ApiError::bad_request(format!(
            "Invalid input for field/attribute user_data. It is {} characters long; {MAX_USER_DATA} are allowed.",
            text.len()
        )));
    }
    // Line breaks are allowed in it, as Python's decoder allows them.
    let joined: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    match BASE64_STANDARD.decode(joined.as_bytes()) {
        Ok(_) => Ok(joined),
        Err(_) => Err(ApiError::bad_request("Invalid input for field/attribute user_data. It is not a 'base64'.")),
    }
}

fn security_groups(groups: Option<Vec<SecurityGroup>>) -> Result<Vec<String>, ApiError> {
    let Some(groups) = groups else { return Ok(vec!["default".into()]) };
    match groups.iter().find(|group| group.name.0 != "default") {
        Some(other) => Err(ApiError::bad_request(format!("Security group {} not found.", other.name.0))),
        None => Ok(groups.into_iter().map(|group| group.name.0).collect()),
    }
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
        assert_eq!(request.map(|request| (request.count, request.image_id)), Ok((1, IMAGE.into())));
    }

    #[test]
    fn a_number_or_a_link_names_a_flavor_too() {
        assert_eq!(with(1, &json!({"flavorRef": 42})).map(|r| r.flavor_id), Ok("42".into()));
        assert_eq!(with(1, &json!({"flavorRef": "http://x/flavors/42"})).map(|r| r.flavor_id), Ok("42".into()));
        assert!(with(1, &json!({"flavorRef": null})).is_err());
    }

    #[test]
    fn networks_are_words_from_2_37_on_and_required() {
        assert!(with(1, &json!({})).is_ok());
        assert!(with(1, &json!({"networks": "none"})).is_err());
        assert!(with(37, &json!({})).unwrap_err().contains("'networks' is a required property"));
        assert!(with(37, &json!({"networks": "auto"})).is_ok());
        assert!(with(37, &json!({"networks": [{"uuid": IMAGE}]})).unwrap_err().contains("no network service"));
    }

    #[test]
    fn a_field_of_a_later_version_is_refused_by_name() {
        assert!(with(18, &json!({"description": "d"})).unwrap_err().contains("('description' was unexpected)"));
        assert_eq!(with(19, &json!({"description": "d"})).map(|r| r.description), Ok(Some("d".into())));
        assert_eq!(with(18, &json!({})).map(|r| r.description), Ok(Some("s".into())));
    }

    #[test]
    fn what_is_not_there_is_refused_and_not_forgotten() {
        for (field, value) in [
            ("OS-DCF:diskConfig", json!("AUTO")),
            ("accessIPv4", json!("10.0.0.1")),
            ("security_groups", json!([{"name": "web"}])),
            ("block_device_mapping_v2", json!([{"source_type": "volume", "uuid": IMAGE, "boot_index": 0}])),
            ("user_data", json!("not base64!")),
            ("min_count", json!(0)),
            ("max_count", json!(101)),
        ] {
            assert!(with(1, &json!({ field: value })).is_err(), "{field}");
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
