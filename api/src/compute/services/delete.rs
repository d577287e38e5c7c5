//! `DELETE /os-services/{id}`.

use axum::http::StatusCode;
use novella_common::{
    db::services::{self, Deletion},
    models::Service,
};
use novella_rest::{ApiError, Microversion, Path};
use uuid::Uuid;

use super::BY_UUID;
use crate::Request;

/// Deletes a service; a compute host too, once nothing is on it. One that still runs comes back only when it is started
/// again; a scheduler, a conductor or an API that still runs is back with its next heartbeat.
pub(super) async fn delete(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let wanted = Wanted::read(&id, request.version)?;
    let mut transaction = request.state.database.begin().await?;
    let all = services::list(&mut transaction, None, None).await?;
    let service = all.iter().find(|service| wanted.is(service));
    let service = service.ok_or_else(|| ApiError::not_found(format!("Service {id} not found.")))?;
    match services::delete(&mut transaction, service).await? {
        Deletion::Deleted => {}
        Deletion::HostsInstances => {
            return Err(ApiError::Conflict(
                "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
                    .into(),
            ));
        }
        Deletion::HasMigrations => {
            return Err(ApiError::Conflict(
                "Unable to delete compute service that has in-progress migrations. Complete the migrations or delete \
                 the instances first."
                    .into(),
            ));
        }
    }
    transaction.commit().await?;
    tracing::info!(binary = %service.binary, host = service.host, "a service was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// How a path names a service: by its number until 2.52, by its UUID from 2.53.
enum Wanted {
    Number(i64),
    Uuid(String),
}

impl Wanted {
    fn read(id: &str, version: Microversion) -> Result<Self, ApiError> {
        if version.at_least(BY_UUID) {
            let uuid = Uuid::try_parse(id).map_err(|_| ApiError::bad_request(format!("Invalid uuid {id}")))?;
            return Ok(Self::Uuid(uuid.to_string()));
        }
        let number = id.parse().map(Self::Number);
        number.map_err(|_| ApiError::bad_request(format!("Invalid input received: id '{id}' must be an integer")))
    }

    fn is(&self, service: &Service) -> bool {
        match self {
            Self::Number(number) => service.id == *number,
            Self::Uuid(uuid) => service.uuid == *uuid,
        }
    }
}
