//! The disks that a create asks for: `block_device_mapping_v2`, and `block_device_mapping` as it was before.
//!
//! A device that is not a volume goes with its server and is part of its flavor: the image's own disk, ephemeral disks and
//! swap. They are held against the flavor as Nova holds them. Volumes need a service that this cloud does not have.

use novella_common::models::Flavor;
use novella_rest::{
    ApiError, FieldTable, Microversion, field,
    inputs::{Flag, Integer, UuidText},
    object, typed, wrong,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Devices on a host's own disk that one server may have (nova.conf, `max_local_block_devices`).
const MAX_LOCAL: usize = 3;

const DISK_BUSES: [&str; 9] = ["fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml"];

const OLD_FIELDS: FieldTable = FieldTable(&[
    field("virtual_name"),
    field("volume_id"),
    field("snapshot_id"),
    field("volume_size"),
    field("device_name"),
    field("delete_on_termination"),
    field("no_device").nullable(),
    field("connection_info"),
]);

const FIELDS: FieldTable = FieldTable(&[
    field("virtual_name"),
    field("volume_id"),
    field("snapshot_id"),
    field("volume_size"),
    field("device_name"),
    field("delete_on_termination"),
    field("no_device").nullable(),
    field("connection_info"),
    field("source_type"),
    field("uuid"),
    field("image_id"),
    field("destination_type"),
    field("guest_format"),
    field("device_type"),
    field("disk_bus"),
    field("boot_index").nullable(),
    // It came, was forgotten in the next version, and came again.
    field("tag").since(32).until(32),
    field("tag").since(42),
    field("volume_type").since(67).nullable(),
]);

/// An entry, before anything but types is checked.
#[derive(Deserialize)]
#[allow(dead_code, reason = "fields whose types are all there is to check")]
struct Entry {
    virtual_name: Option<Text>,
    volume_id: Option<UuidText>,
    snapshot_id: Option<UuidText>,
    volume_size: Option<Integer<1>>,
    device_name: Option<String>,
    delete_on_termination: Option<Flag>,
    no_device: Option<Value>,
    connection_info: Option<String>,
    source_type: Option<Source>,
    uuid: Option<String>,
    image_id: Option<UuidText>,
    destination_type: Option<DestinationType>,
    guest_format: Option<Text>,
    device_type: Option<Text>,
    disk_bus: Option<Text>,
    boot_index: Option<Value>,
    tag: Option<String>,
    volume_type: Option<Text>,
}

/// A text of at most 255 characters.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Text(String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.chars().count() > 255 { Err("it is longer than 255 characters") } else { Ok(Self(text)) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Volume,
    Image,
    Snapshot,
    Blank,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DestinationType {
    Local,
    Volume,
}

/// What is asked for beside the image's own disk, in GiB and MiB; `None`: as much as the flavor has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Devices {
    /// The image whose own disk is among them.
    pub(super) image: Option<String>,
    ephemeral_gb: Vec<Option<i64>>,
    swap_mb: Option<i64>,
}

impl Devices {
    /// Holds them against the flavor, which they are part of.
    ///
    /// # Errors
    /// 400 if it does not have as much.
    pub(super) fn check(&self, flavor: &Flavor) -> Result<(), ApiError> {
        let ephemeral: i64 =
            self.ephemeral_gb.iter().map(|size| size.unwrap_or(flavor.ephemeral_gb)).fold(0, i64::saturating_add);
        if ephemeral > flavor.ephemeral_gb {
            return Err(invalid("Ephemeral disks requested are larger than the instance type allows."));
        }
        if self.swap_mb.is_some_and(|size| size > flavor.swap_mb) {
            return Err(invalid("Swap drive requested is larger than instance type allows."));
        }
        Ok(())
    }
}

fn invalid(details: &str) -> ApiError {
    ApiError::bad_request(format!("Block Device Mapping is Invalid: {details}"))
}

fn no_volumes() -> ApiError {
    invalid("this cloud has no volume service, so that no volume and no snapshot of one can be found.")
}

/// Reads the devices of a create's `server`. `image` is its `imageRef`.
///
/// # Errors
/// 400 that names what is wrong.
pub(super) fn read(
    server: &Map<String, Value>,
    image: Option<&str>,
    version: Microversion,
) -> Result<Devices, ApiError> {
    let old = entries(server, "block_device_mapping", &OLD_FIELDS, version)?;
    let new = entries(server, "block_device_mapping_v2", &FIELDS, version)?;
    if !old.is_empty() && !new.is_empty() {
        return Err(ApiError::bad_request(
            "Using different block_device_mapping syntaxes is not allowed in the same request.",
        ));
    }
    let mut devices = Devices::default();
    // The image's own disk is there, whether it is named or not.
    let (mut boot_order, mut local) = (Vec::new(), 1);
    for entry in &old {
        if entry.no_device.is_some() {
            continue;
        }
        match entry.virtual_name.as_ref().map(|name| name.0.as_str()) {
            Some("swap") => devices.swap(entry)?,
            Some(name) if is_ephemeral(name) => devices.ephemeral(entry),
            _ if entry.volume_id.is_some() || entry.snapshot_id.is_some() => return Err(no_volumes()),
            _ => return Err(invalid("Unrecognized legacy format.")),
        }
        local += 1;
    }
    for entry in &new {
        if entry.no_device.as_ref().is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false))) {
            continue;
        }
        let boot_index = boot_index(entry)?;
        boot_order.extend(boot_index);
        let root = devices.add(entry, image, boot_index)?;
        if !root {
            local += 1;
        }
    }
    if devices.image.is_none() {
        boot_order.push(0);
    }
    boot_order.sort_unstable();
    if boot_order.iter().enumerate().any(|(place, index)| usize::try_from(*index) != Ok(place)) {
        return Err(invalid("Boot sequence for the instance and image/block device mapping combination is not valid."));
    }
    if local > MAX_LOCAL {
        return Err(invalid("You specified more local devices than the limit allows"));
    }
    Ok(devices)
}

fn entries(
    server: &Map<String, Value>,
    name: &str,
    fields: &FieldTable,
    version: Microversion,
) -> Result<Vec<Entry>, ApiError> {
    let place = format!("server.{name}");
    let Some(list) = server.get(name) else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or_else(|| wrong(&place, list, "It must be a list."))?;
    let mut entries = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let place = format!("{place}[{index}]");
        fields.check(&place, object(&place, item)?, version)?;
        let entry: Entry = typed(&place, item)?;
        let device = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
        if let Some(name) = &entry.device_name
            && !(!name.is_empty() && name.len() <= 255 && name.chars().all(device))
        {
            return Err(wrong(&format!("{place}.device_name"), &name.as_str().into(), "It is no name of a device."));
        }
        if let Some(bus) = &entry.disk_bus
            && !DISK_BUSES.contains(&bus.0.as_str())
        {
            return Err(invalid(&format!("Invalid bus {} for device.", bus.0)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn is_ephemeral(virtual_name: &str) -> bool {
    let number = virtual_name.strip_prefix("ephemeral");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The place among what is booted from; `None`: not among it.
fn boot_index(entry: &Entry) -> Result<Option<i64>, ApiError> {
    let index = match &entry.boot_index {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(_) => None,
    };
    let index = index.ok_or_else(|| invalid("Boot index is invalid."))?;
    Ok((index >= 0).then_some(index))
}

impl Devices {
    /// Adds a device. Says whether it is the image's own disk.
    fn add(&mut self, entry: &Entry, image: Option<&str>, boot_index: Option<i64>) -> Result<bool, ApiError> {
        let source = entry.source_type.ok_or_else(|| invalid("Some required fields are missing"))?;
        match (source, &entry.uuid) {
            (Source::Blank, Some(_)) => return Err(invalid("Invalid device UUID.")),
            (Source::Image | Source::Volume | Source::Snapshot, None) => return Err(invalid("Missing device UUID.")),
            _ => {}
        }
        let by_default = if matches!(source, Source::Image | Source::Blank) {
            DestinationType::Local
        } else {
            DestinationType::Volume
        };
        if entry.destination_type.unwrap_or(by_default) == DestinationType::Volume
            || by_default == DestinationType::Volume
        {
            return Err(no_volumes());
        }
        if entry.volume_type.is_some() {
            return Err(invalid("Specifying a volume_type with destination_type=local is not supported."));
        }
        match (source, &entry.uuid) {
            (Source::Image, Some(uuid)) => {
                let other = image.is_some_and(|image| image != uuid) || self.image.is_some();
                if boot_index != Some(0) || other {
                    return Err(invalid("Mapping image to local is not supported."));
                }
                self.image = Some(uuid.clone());
                return Ok(true);
            }
            _ if entry.guest_format.as_ref().is_some_and(|format| format.0 == "swap") => self.swap(entry)?,
            _ => self.ephemeral(entry),
        }
        Ok(false)
    }

    fn ephemeral(&mut self, entry: &Entry) {
        self.ephemeral_gb.push(entry.volume_size.map(|size| size.0));
    }

    fn swap(&mut self, entry: &Entry) -> Result<(), ApiError> {
        if self.swap_mb.is_some() {
            return Err(invalid("More than one swap drive requested."));
        }
        self.swap_mb = Some(entry.volume_size.map_or(0, |size| size.0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const IMAGE: &str = "c1227000-0000-4000-8000-000000000001";

    fn with(minor: u16, name: &str, devices: Value) -> Result<Devices, String> {
        let server = Map::from_iter([(name.to_owned(), devices)]);
        read(&server, Some(IMAGE), Microversion::new(2, minor)).map_err(|error| error.to_string())
    }

    fn flavor() -> Flavor {
        Flavor {
            id: "1".into(),
            name: "f".into(),
            vcpus: 1,
            memory_mb: 1,
            disk_gb: 1,
            ephemeral_gb: 2,
            swap_mb: 512,
            is_public: true,
            description: None,
            extra_specs: BTreeMap::new(),
            rxtx_factor: novella_common::models::RxtxFactor::default(),
        }
    }

    #[test]
    fn the_disks_of_a_flavor_can_be_named_one_by_one() {
        let root = json!({"uuid": IMAGE, "boot_index": "0", "source_type": "image", "destination_type": "local",
            "disk_bus": "virtio", "device_type": "disk", "device_name": "/dev/vda", "delete_on_termination": false});
        let blank = |more: Value| {
            let mut device = json!({"source_type": "blank", "destination_type": "local", "boot_index": -1});
            device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            device
        };
        let v2 = |devices| with(1, "block_device_mapping_v2", devices);
        let asked = v2(json!([root, blank(json!({"volume_size": 2})), blank(json!({"guest_format": "swap"}))]));
        assert_eq!(asked.map(|devices| devices.check(&flavor()).is_ok()), Ok(true));
        for too_much in [blank(json!({"volume_size": "3"})), blank(json!({"guest_format": "swap", "volume_size": 513}))]
        {
            let devices = v2(json!([root, too_much])).unwrap();
            assert!(devices.check(&flavor()).is_err(), "{devices:?}");
        }
        assert!(v2(json!([root, root])).is_err());
        assert!(v2(json!([blank(json!({})), blank(json!({})), blank(json!({}))])).unwrap_err().contains("more local"));
        assert!(v2(json!([blank(json!({"boot_index": 0}))])).unwrap_err().contains("Boot sequence"));
        assert!(v2(json!([blank(json!({"disk_bus": "pigeon"}))])).unwrap_err().contains("Invalid bus"));
        let old = |devices| with(1, "block_device_mapping", devices);
        assert!(old(json!([{"virtual_name": "ephemeral0"}, {"virtual_name": "swap"}, {"no_device": {}}])).is_ok());
        assert!(old(json!([{"virtual_name": "root"}])).unwrap_err().contains("legacy format"));
    }

    #[test]
    fn a_volume_is_refused_because_there_is_no_service_of_them() {
        for (name, device) in [
            ("block_device_mapping_v2", json!({"source_type": "volume", "uuid": IMAGE, "boot_index": 0})),
            ("block_device_mapping_v2", json!({"source_type": "image", "destination_type": "volume", "uuid": IMAGE})),
            ("block_device_mapping", json!({"volume_id": IMAGE, "device_name": "vda"})),
        ] {
            assert!(with(1, name, json!([device])).unwrap_err().contains("no volume service"), "{device}");
        }
    }

    #[test]
    fn a_tag_is_known_to_2_32_and_from_2_42_on() {
        let device = json!([{"source_type": "blank", "destination_type": "local", "tag": "t"}]);
        let taken: Vec<u16> = [31, 32, 33, 41, 42, 103]
            .into_iter()
            .filter(|minor| with(*minor, "block_device_mapping_v2", device.clone()).is_ok())
            .collect();
        assert_eq!(taken, [32, 42, 103]);
    }
}
