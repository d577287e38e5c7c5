//! Resources that are parts of others and stand below them in the path: the rules of a QoS policy, the port forwardings of a
//! floating IP.

use axum::response::Response;
use http::StatusCode;
use novella_common::db::list::Condition;
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};

use super::{New, Resource, changes, find, lists};
use crate::{Networking, Request};

/// A part of something.
pub(crate) trait Part: Resource {
    /// What it is a part of.
    type Whole: Resource;
    /// The column, and attribute, that says of which.
    const OF: &'static str;

    /// The id of what it is a part of.
    fn whole(&self) -> &str;

    /// 404: there is none of this id in this whole.
    fn missing_in(_whole: &str, id: &str) -> ApiError {
        Self::missing(id)
    }
}

/// The five operations on parts.
pub(crate) fn operations<P: Part>() -> Vec<Operation<Networking>> {
    let about = P::ABOUT;
    let mut operations = vec![
        get(about.collection, about.get, index::<P>).takes(lists::names::<P>()),
        post(about.collection, about.create, create::<P>).status(201),
        get(about.member, about.get, show::<P>).takes(["fields"]),
        delete(about.member, about.delete, remove::<P>).status(204),
    ];
    if let Some(rule) = about.update {
        operations.push(put(about.member, rule, update::<P>));
    }
    operations
}

/// Refuses what is not a part of the thing in the path.
async fn check<P: Part>(request: &Request, whole: &str, id: &str) -> Result<P, ApiError> {
    let mut connection = request.state.database.read().await?;
    find::<P::Whole>(request, &mut connection, whole).await?;
    match find::<P>(request, &mut connection, id).await {
        Ok(part) if part.whole() == whole => Ok(part),
        Ok(_) | Err(ApiError::Typed { status: StatusCode::NOT_FOUND, .. }) => Err(P::missing_in(whole, id)),
        Err(error) => Err(error),
    }
}

async fn index<P: Part>(request: Request, Path(whole): Path<String>) -> Result<Response, ApiError> {
    find::<P::Whole>(&request, &mut *request.state.database.read().await?, &whole).await?;
    lists::index_of::<P>(&request, Some(Condition::equal(P::OF, &whole))).await
}

async fn show<P: Part>(request: Request, Path((whole, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let part = check::<P>(&request, &whole, &id).await?;
    let mut connection = request.state.database.read().await?;
    lists::granted(&request, &mut connection, &part, &id).await?;
    super::answer(&request, &mut connection, &part).await
}

async fn create<P: Part>(request: Request, Path(whole): Path<String>, new: New<P>) -> Result<Response, ApiError> {
    find::<P::Whole>(&request, &mut *request.state.database.read().await?, &whole).await?;
    changes::create_of(&request, &new, &[(P::OF, &whole)]).await
}

async fn update<P: Part>(
    request: Request,
    Path((whole, id)): Path<(String, String)>,
    new: New<P>,
) -> Result<Response, ApiError> {
    check::<P>(&request, &whole, &id).await?;
    changes::update_one(&request, &id, &new).await
}

async fn remove<P: Part>(request: Request, Path((whole, id)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    check::<P>(&request, &whole, &id).await?;
    changes::remove_one::<P>(&request, &id).await
}
