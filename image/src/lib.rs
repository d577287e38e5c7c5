//! Image: what clients need of Glance. The images that there are, and their bytes; no uploads.

mod data;
pub mod db;
mod list;
mod policy;
pub mod seed;
mod view;

use axum::Json;
use http::StatusCode;
use novella_common::{
    RequestContext,
    db::{
        Database, DbError,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{ApiError, Document, Links, Operation, Path, Service, get};
use serde_json::{Value, json};

use db::Image;
use view::ImageView;

/// A request of the Image API.
type Request = novella_rest::Request<Images>;

/// The Image service.
pub static IMAGE: Service = Service {
    name: "glance",
    kind: "image",
    root: "/image",
    version_path: "/v2",
    // Without a version, since clients add it themselves.
    endpoint: "image",
    microversions: None,
    envelope,
    policy: policy::POLICY,
    denied: |rule| format!("You are not authorized to complete {rule} action."),
    token_first: true,
    project_in_path: false,
    no_query_since: None,
    documents: &[Document { path: "", write: versions }, Document { path: "/versions", write: versions }],
};

/// The Image component.
#[derive(Clone, Debug)]
pub struct Images {
    database: Database,
}

impl Images {
    /// On this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The images of these ids that whoever asks may use, in no order.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn find_many(&self, context: &RequestContext, ids: Vec<String>) -> Result<Vec<Image>, DbError> {
        let mut list = List::<Image>::all().filter(Condition::is_in("id", ids));
        if let Some(condition) = visible_to(context) {
            list = list.visible(condition);
        }
        Ok(list.page(&mut *self.database.read().await?).await?.unwrap_or_default())
    }
}

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Images>> {
    vec![
        get("/images", policy::GET_IMAGES, list::index)
            .query(list::QUERY, u16::MAX)
            .answers_list::<ImageView>("images"),
        get("/images/{image_id}", policy::GET_IMAGE, show).answers::<ImageView>(""),
        get("/images/{image_id}/file", policy::DOWNLOAD_IMAGE, data::download),
    ]
}

/// What whoever asks may use: public images and the project's own; `None`: everything.
fn visible_to(context: &RequestContext) -> Option<Condition> {
    if context.is_admin {
        return None;
    }
    let project = context.project_id.clone().unwrap_or_default();
    Some(Condition::raw(sql!("visibility IN ('public', 'community') OR owner = "(project))))
}

/// Whether whoever asks may use an image.
fn visible(image: &Image, context: &RequestContext) -> bool {
    context.is_admin
        || matches!(image.visibility.as_str(), "public" | "community")
        || (image.owner.is_some() && image.owner == context.project_id)
}

/// Shows an image.
async fn show(request: Request, Path(id): Path<String>) -> Result<Json<ImageView>, ApiError> {
    Ok(Json(ImageView::new(visible_image(&request, &id).await?)))
}

/// The image of this id, if whoever asks may know of it.
async fn visible_image(request: &Request, id: &str) -> Result<Image, ApiError> {
    let image = db::get(&mut *request.state.database.read().await?, id).await?;
    let image = image.filter(|image| visible(image, &request.context));
    image.ok_or_else(|| ApiError::not_found(format!("No image found with ID {id}")))
}

/// 300 with the versions, as Glance.
fn versions(links: &Links) -> (StatusCode, Value) {
    let version = |id: &str, status: &str| -> Value {
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": format!("{}/image/v2/", links.base())}]})
    };
    let versions = json!({"versions": [version("v2.9", "CURRENT"), version("v2.0", "SUPPORTED")]});
    (StatusCode::MULTIPLE_CHOICES, versions)
}

fn envelope(status: StatusCode, message: &str) -> Value {
    let title = status.canonical_reason().unwrap_or_default();
    json!({"code": format!("{} {title}", status.as_u16()), "title": title, "message": message})
}
