//! What an image's attributes may be, whoever sets them and how.

use novella_rest::{ApiError, policy::Rule};
use serde_json::Value;

use crate::{
    ImageConfig,
    db::Image,
    policy,
    status::{Status, Visibility},
};

/// Shown, and never given.
pub(super) const SHOWN_ONLY: [&str; 5] = ["direct_url", "self", "file", "schema", "stores"];
/// Set by what is done with an image.
pub(super) const READ_ONLY: [&str; 9] = [
    "checksum",
    "created_at",
    "os_hash_algo",
    "os_hash_value",
    "size",
    "status",
    "updated_at",
    "virtual_size",
    "direct_url",
];
/// Attributes that can be set.
pub(super) const BASE: [&str; 10] = [
    "name",
    "disk_format",
    "container_format",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "min_disk",
    "min_ram",
    "tags",
];
/// Names that no property may have.
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];
/// What the names of properties begin with that Image sets itself.
pub(crate) const OWN_PREFIX: &str = "os_glance";
/// The longest name of a property.
const LONGEST_NAME: usize = 255;
/// The largest number that Glance's database takes.
const LARGEST: i64 = 0x7FFF_FFFF;

/// 403: it can't be set.
pub(super) fn read_only(name: &str) -> ApiError {
    ApiError::Forbidden(format!("Attribute '{name}' is read-only."))
}

/// Refuses names that a property may not have.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    if name.chars().count() > LONGEST_NAME {
        return Err(ApiError::bad_request("Custom property should not be greater than 255 characters."));
    }
    if RESERVED.contains(&name) || name.starts_with(OWN_PREFIX) {
        return Err(ApiError::Forbidden(format!("Attribute '{name}' is reserved.")));
    }
    Ok(())
}

/// Sets one of [`BASE`], to a value that fits the schema.
pub(super) fn set(image: &mut Image, name: &str, value: &Value) -> Result<(), ApiError> {
    let text = || value.as_str().map(ToOwned::to_owned);
    let truth = || value.as_bool().unwrap_or_default();
    match name {
        "name" => image.name = text(),
        "owner" => image.owner = text(),
        "protected" => image.protected = truth(),
        "os_hidden" => image.os_hidden = truth(),
        "visibility" => image.visibility = visibility(value),
        "min_disk" => image.min_disk_gb = least(name, value)?,
        "min_ram" => image.min_ram_mb = least(name, value)?,
        "disk_format" => {
            check_format(image, name)?;
            image.disk_format = text();
        }
        "container_format" => {
            check_format(image, name)?;
            image.container_format = text();
        }
        "tags" => {
            let tags = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            image.tags.clear();
            for tag in tags {
                add_tag(&mut image.tags, tag);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Adds a tag, if it is not there.
pub(super) fn add_tag(tags: &mut Vec<String>, tag: &str) {
    if !tags.iter().any(|held| held == tag) {
        tags.push(tag.to_owned());
    }
}

/// What a value of the schema means.
pub(super) fn visibility(value: &Value) -> Visibility {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(Visibility::Shared)
}

/// What is asked for beside changing an image, for it to be seen by more.
pub(super) fn rule_for(visibility: Visibility) -> Option<Rule> {
    match visibility {
        Visibility::Public => Some(policy::PUBLICIZE_IMAGE),
        Visibility::Community => Some(policy::COMMUNITIZE_IMAGE),
        Visibility::Shared | Visibility::Private => None,
    }
}

fn check_format(image: &Image, name: &str) -> Result<(), ApiError> {
    if matches!(image.status, Status::Queued | Status::Importing) {
        return Ok(());
    }
    Err(ApiError::Forbidden(format!("Attribute {name} can be only replaced for a queued image.")))
}

fn least(name: &str, value: &Value) -> Result<i64, ApiError> {
    #[allow(clippy::cast_possible_truncation, reason = "what is no whole number does not fit the schema")]
    let number = value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)).unwrap_or(i64::MAX);
    if number < 0 {
        return Err(ApiError::bad_request(format!(
            "Invalid value '{number}' for parameter '{name}': Cannot be a negative value"
        )));
    }
    if number > LARGEST {
        return Err(ApiError::bad_request(format!("'{name}' value out of range, must not exceed {LARGEST}.")));
    }
    Ok(number)
}

/// Refuses more properties or tags than an image may have.
///
/// # Errors
/// 413.
pub(super) fn check_quotas(image: &Image, config: &ImageConfig) -> Result<(), ApiError> {
    let properties = image.properties.keys().filter(|name| !name.starts_with(OWN_PREFIX)).count();
    check_quota("properties", properties, config.image_property_quota)?;
    check_quota("tags", image.tags.len(), config.image_tag_quota)
}

/// Refuses more of something than there may be; a negative number says that there is no limit.
///
/// # Errors
/// 413.
pub(super) fn check_quota(what: &str, attempted: usize, most: i64) -> Result<(), ApiError> {
    if usize::try_from(most).is_ok_and(|most| attempted > most) {
        return Err(ApiError::OverLimit(format!(
            "The limit has been exceeded on the number of allowed image {what}. Attempted: {attempted}, Maximum: {most}"
        )));
    }
    Ok(())
}
