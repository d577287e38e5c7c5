//! The bytes of images: uploaded, staged, imported and read.

mod copies;
mod described;
mod digests;
mod download;
mod fetch;
mod import;
mod range;
mod receive;
mod transitions;
mod upload;

use novella_rest::{Operation, get, post, put};

use crate::{Images, policy};

pub(crate) use download::stored;
pub(crate) use transitions::give_up;

pub(crate) fn operations() -> Vec<Operation<Images>> {
    const FILE: &str = "/images/{image_id}/file";
    vec![
        get(FILE, policy::DOWNLOAD_IMAGE, download::download),
        put(FILE, policy::UPLOAD_IMAGE, upload::upload).status(204),
        put("/images/{image_id}/stage", policy::MODIFY_IMAGE, upload::stage)
            .summary("Write the bytes of an image, to be imported.")
            .status(204),
        post("/images/{image_id}/import", policy::MODIFY_IMAGE, import::import)
            .summary("Make bytes that were staged, or those behind a URL, an image's.")
            .status(202),
        get("/images/{image_id}/tasks", policy::GET_IMAGE, import::tasks)
            .summary("List what was done to import an image."),
    ]
}
