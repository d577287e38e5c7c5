//! `/image/v2/images/{image_id}/actions`: deactivated, an image's bytes are given to administrators only.

use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, post};

use crate::{Images, Request, access, db, policy, status::Status};

pub(super) fn operations() -> Vec<Operation<Images>> {
    vec![
        post("/images/{image_id}/actions/deactivate", policy::DEACTIVATE, deactivate).status(204),
        post("/images/{image_id}/actions/reactivate", policy::REACTIVATE, reactivate).status(204),
    ]
}

async fn deactivate(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    change(&request, &id, "deactivate", Status::Deactivated).await
}

async fn reactivate(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    change(&request, &id, "reactivate", Status::Active).await
}

async fn change(request: &Request, id: &str, verb: &str, wanted: Status) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut image = access::find_to_change(&request.context, &mut transaction, id, request.rule).await?;
    if !matches!(image.status, Status::Active | Status::Deactivated) {
        let status = image.status;
        return Err(ApiError::Forbidden(format!("Not allowed to {verb} image in status '{status}'")));
    }
    if image.status != wanted {
        image.status = wanted;
        db::update(&mut transaction, &mut image).await?;
        transaction.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
