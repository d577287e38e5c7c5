//! Whose an image is, and who sees it.
//!
//! Of an image that somebody does not see he is told that there is none. Of one that he sees, the rules of its own project
//! say what he may do.

use novella_common::{
    RequestContext,
    db::{Connection, list::Condition},
    sql,
};
use novella_rest::{
    ApiError,
    policy::{Caller, Rule},
};

use crate::{
    Request,
    db::{self, Image},
    status::{MemberStatus, Visibility},
};

/// The images that whoever asks may use, of those that are shared with the project only those that it says this of; `None`:
/// all.
pub(crate) fn visible_to(context: &RequestContext, members: Option<MemberStatus>) -> Option<Condition> {
    if context.is_admin {
        return None;
    }
    let project = context.project_id.as_deref().unwrap_or_default();
    let for_all = Condition::raw(sql!("visibility IN ('public', 'community')"));
    let own = Condition::equal("owner", project);
    Some(Condition::any([for_all, own, db::shared_with(project, members)]))
}

/// Whether an image is of the project that asks.
pub(crate) fn is_own(image: &Image, context: &RequestContext) -> bool {
    image.owner.is_some() && image.owner == context.project_id
}

/// Whether whoever asks may know of an image.
pub(crate) async fn is_visible(
    image: &Image,
    context: &RequestContext,
    connection: &mut Connection,
) -> Result<bool, ApiError> {
    if context.is_admin || is_own(image, context) {
        return Ok(true);
    }
    match (image.visibility, context.project_id.as_deref()) {
        (Visibility::Public | Visibility::Community, _) => Ok(true),
        (Visibility::Shared, Some(project)) => Ok(db::member(connection, &image.id, project).await?.is_some()),
        (Visibility::Shared | Visibility::Private, _) => Ok(false),
    }
}

/// 404 in Glance's words.
pub(crate) fn no_image(id: &str) -> ApiError {
    ApiError::not_found(format!("No image found with ID {id}"))
}

/// The image of this id, if whoever asks may know of it.
pub(crate) async fn find(request: &Request, connection: &mut Connection, id: &str) -> Result<Image, ApiError> {
    let image = db::get(connection, id).await?.ok_or_else(|| no_image(id))?;
    if is_visible(&image, &request.context, connection).await? { Ok(image) } else { Err(no_image(id)) }
}

/// The same, and nobody else changes it until the transaction ends.
pub(crate) async fn find_locked(caller: &Caller, transaction: &mut Connection, id: &str) -> Result<Image, ApiError> {
    let image = db::lock(transaction, id).await?.ok_or_else(|| no_image(id))?;
    if is_visible(&image, caller, transaction).await? { Ok(image) } else { Err(no_image(id)) }
}

/// Holds a rule against an image that whoever asks sees.
///
/// # Errors
/// 403.
pub(crate) fn check(caller: &Caller, rule: Rule, image: &Image) -> Result<(), ApiError> {
    Ok(rule.check(caller, image.owner.as_deref())?)
}

/// The image of this id, to be changed by whoever the rule is granted to.
pub(crate) async fn find_to_change(
    caller: &Caller,
    transaction: &mut Connection,
    id: &str,
    rule: Rule,
) -> Result<Image, ApiError> {
    let image = find_locked(caller, transaction, id).await?;
    check(caller, rule, &image)?;
    Ok(image)
}
