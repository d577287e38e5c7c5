//! `/images`: what Nova passes on to Glance until 2.35, and the properties of an image until 2.38.
//!
//! Image is asked as whoever asks Compute, by Image's rules: Compute has none of its own for this, as Nova.
//!
//! Source: nova/api/openstack/compute/images.py, image_metadata.py, views/images.py; nova/image/glance.py (34.0.0).

mod metadata;
mod view;

use axum::{http::StatusCode, response::Response};
use novella_common::{images::ImageRecord, neighbours::Refusal};
use novella_rest::{
    ApiError, FieldTable, Operation, Parameters, Path, delete, field, get,
    paging::{NextLink, Page, count},
    policy::EVERYBODY,
};

use crate::{Request, neighbours::caller, state::Api};
use view::{Brief, Detail};

/// The last minor version that has them.
const UNTIL: u16 = 35;

/// Whatever else a query has is not looked at, but for `property-NAME`.
const QUERY: FieldTable = FieldTable(&[
    field("name"),
    field("status"),
    field("changes-since"),
    field("server"),
    field("type"),
    field("minRam"),
    field("minDisk"),
    field("limit"),
    field("page_size"),
    field("marker"),
    field("offset"),
]);

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/images/{image_id}";
    let operations = vec![
        get("/images", EVERYBODY, index)
            .summary("List images, as the Image API has them.")
            .query(QUERY, u16::MAX)
            .answers_list::<Brief>("images"),
        get("/images/detail", EVERYBODY, detail)
            .summary("List images with details, as the Image API has them.")
            .query(QUERY, u16::MAX)
            .answers_list::<Detail>("images"),
        get(ONE, EVERYBODY, show).summary("Show an image, as the Image API has it.").answers::<Detail>("image"),
        delete(ONE, EVERYBODY, remove).summary("Delete an image, by the Image API.").status(204),
    ];
    operations.into_iter().map(|operation| operation.until(UNTIL)).chain(metadata::operations()).collect()
}

/// The image of this id, if whoever asks may see it.
async fn find(request: &Request, id: &str) -> Result<ImageRecord, ApiError> {
    let found = request.state.images.find_many(caller(request), vec![id.to_owned()]).await?.pop();
    found.ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::not_found("Image not found.")
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let (images, next) = page(&request, "images").await?;
    Ok(view::brief_list(&request, &images, next))
}

async fn detail(request: Request) -> Result<Response, ApiError> {
    let (images, next) = page(&request, "images/detail").await?;
    Ok(view::list(&request, images, next))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let image = find(&request, &id).await?;
    Ok(view::one(&request, image))
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    match request.state.images.delete(caller(&request), &id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(Refusal { status: 404, .. }) => Err(not_found()),
        Err(Refusal { status: 403, .. }) => Err(ApiError::Forbidden("You are not allowed to delete the image.".into())),
        Err(other) => Err(other.into()),
    }
}

/// A page of images, and the link to the next.
async fn page(request: &Request, collection: &str) -> Result<(Vec<ImageRecord>, Option<NextLink>), ApiError> {
    count(&request.query, "offset")?;
    if count(&request.query, "page_size")? == Some(0) {
        return Err(ApiError::bad_request(
            "Invalid input for query parameters page_size. Value: 0. It must be an integer from 1 on.",
        ));
    }
    let most = request.config.max_limit;
    let mut page = Page::from_query(&request.query, most)?;
    if page.limit == 0 {
        page.limit = most.into();
    }
    let images = request.state.images.list(caller(request), asked(&request.query), page.limit).await?;
    let last = images.last().map(|image| image.id.as_str());
    let next = page.next_link(&request.query, &request.links, collection, images.len(), last);
    Ok((images, next))
}

/// A query in the words of the Image API.
fn asked(query: &Parameters) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for (name, value) in query.iter() {
        let (name, value) = match name {
            "name" | "marker" => (name, value.to_owned()),
            "status" => (name, value.to_lowercase()),
            "changes-since" => ("updated_at", format!("gte:{value}")),
            // It may be a server's address.
            "server" => ("instance_uuid", value.rsplit('/').next().unwrap_or(value).to_owned()),
            "type" => ("image_type", value.to_owned()),
            "minRam" => ("min_ram", value.to_owned()),
            "minDisk" => ("min_disk", value.to_owned()),
            _ => match name.strip_prefix("property-") {
                Some(property) => (property, value.to_owned()),
                None => continue,
            },
        };
        asked.push((name.to_owned(), value));
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_put_into_the_words_of_the_image_api() {
        let uri = "/?name=a&status=ACTIVE&changes-since=2026-01-01T00:00:00Z&server=http://x/servers/7&type=snapshot\
                   &minRam=64&property-os_type=linux&limit=2&other=1";
        let asked = asked(&Parameters::of_uri(&uri.parse().unwrap()).unwrap());
        let pairs = [
            ("name", "a"),
            ("status", "active"),
            ("updated_at", "gte:2026-01-01T00:00:00Z"),
            ("instance_uuid", "7"),
            ("image_type", "snapshot"),
            ("min_ram", "64"),
            ("os_type", "linux"),
        ];
        assert_eq!(asked, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
