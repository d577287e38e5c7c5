//! Several properties changed at once, for another component.

use std::collections::BTreeMap;

use novella_rest::{ApiError, policy::Caller};

use super::attributes::{BASE, OWN_PREFIX, READ_ONLY, SHOWN_ONLY, check_name, check_quotas, read_only};
use crate::{Images, access, db, policy};

/// Sets properties, and takes others away; what is not there is taken away.
///
/// # Errors
/// What the image, its quotas or its names do not permit.
pub(crate) async fn change(
    images: &Images,
    caller: &Caller,
    id: &str,
    set: BTreeMap<String, String>,
    removed: &[String],
) -> Result<(), ApiError> {
    for name in set.keys().map(String::as_str) {
        if name == "id" || [&BASE[..], &READ_ONLY, &SHOWN_ONLY].concat().contains(&name) {
            return Err(read_only(name));
        }
        check_name(name)?;
    }
    let mut transaction = images.database.begin().await?;
    let mut image = access::find_to_change(caller, &mut transaction, id, policy::MODIFY_IMAGE).await?;
    image.properties.retain(|name, _| name.starts_with(OWN_PREFIX) || !removed.contains(name));
    image.properties.extend(set);
    check_quotas(&image, &images.config)?;
    db::update(&mut transaction, &mut image).await?;
    Ok(transaction.commit().await?)
}
