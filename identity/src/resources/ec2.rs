//! `/users/{user_id}/credentials/OS-EC2`: a view of the credentials of the type `ec2`, as Amazon's clients name theirs.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::db::{
    Connection,
    list::{Condition, List},
};
use novella_rest::{ApiError, Links, Operation, Path, delete, get, policy::Target, post, read_open};
use serde_json::{Map, Value, json};

use super::{
    credentials::{Credential, ec2_blob, ec2_id, only_primary},
    projects, users,
};
use crate::{
    Request, db, policy,
    resource::{collection, delete_row, look_up, not_found, store},
    secrets,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/users/{user_id}/credentials/OS-EC2";
    const ONE: &str = "/users/{user_id}/credentials/OS-EC2/{access}";
    vec![
        get(ALL, policy::EC2_LIST_CREDENTIALS, index),
        post(ALL, policy::EC2_CREATE_CREDENTIAL, create).status(201),
        get(ONE, policy::EC2_GET_CREDENTIAL, show),
        delete(ONE, policy::EC2_DELETE_CREDENTIAL, remove).status(204),
    ]
}

fn view(credential: &Credential, links: &Links) -> Result<Value, ApiError> {
    let blob = ec2_blob(&credential.blob)?;
    let access = blob.get("access").and_then(Value::as_str).unwrap_or_default();
    let own = links.to(&format!("users/{}/credentials/OS-EC2/{access}", credential.user_id));
    Ok(json!({
        "user_id": credential.user_id, "tenant_id": credential.project_id, "access": access,
        "secret": blob.get("secret"), "trust_id": blob.get("trust_id"), "links": {"self": own},
    }))
}

async fn index(request: Request, Path(user): Path<String>) -> Result<Response, ApiError> {
    request.check_target(&Target::of_user(&user))?;
    only_primary(&request)?;
    let mut connection = request.state.database.read().await?;
    users::existing(&mut connection, &user).await?;
    let list =
        List::<Credential>::all().filter(Condition::equal("user_id", &user)).filter(Condition::equal("type", "ec2"));
    let found = list.page(&mut connection).await?.unwrap_or_default();
    let views = found.iter().map(|credential| view(credential, &request.links)).collect::<Result<_, _>>()?;
    Ok(collection(&request, "credentials", views, &format!("users/{user}/credentials/OS-EC2")))
}

async fn create(mut request: Request, Path(user): Path<String>) -> Result<Response, ApiError> {
    request.check_target(&Target::of_user(&user))?;
    only_primary(&request)?;
    let body: Map<String, Value> = novella_rest::as_object(request.json().await?)?.clone();
    let project: String = read_open("tenant_id", &body, "tenant_id")?;
    let access = db::new_id();
    let blob = json!({"access": access, "secret": secrets::hex()?, "trust_id": null});
    let credential = Credential {
        id: ec2_id(&access),
        user_id: user,
        project_id: Some(project),
        kind: "ec2".to_owned(),
        blob: blob.to_string(),
        extra: Map::new(),
    };
    let mut transaction = request.state.database.begin().await?;
    users::existing(&mut transaction, &credential.user_id).await?;
    projects::existing_project(&mut transaction, credential.project_id.as_deref().unwrap_or_default()).await?;
    store(&request, transaction, &credential).await?;
    let shown = view(&credential, &request.links)?;
    Ok((StatusCode::CREATED, Json(json!({"credential": shown}))).into_response())
}

/// The user's credential with this access key.
async fn existing(
    request: &Request,
    connection: &mut Connection,
    user: &str,
    access: &str,
) -> Result<Credential, ApiError> {
    request.check_target(&Target::of_user(user))?;
    only_primary(request)?;
    let id = ec2_id(access);
    let found: Option<Credential> = look_up(connection, &id).await?;
    found.filter(|found| found.user_id == user).ok_or_else(|| not_found("credential", &id))
}

async fn show(request: Request, Path((user, access)): Path<(String, String)>) -> Result<Response, ApiError> {
    let found = existing(&request, &mut *request.state.database.read().await?, &user, &access).await?;
    Ok(Json(json!({"credential": view(&found, &request.links)?})).into_response())
}

async fn remove(request: Request, Path((user, access)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let found = existing(&request, &mut transaction, &user, &access).await?;
    delete_row::<Credential>(&mut transaction, &found.id).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}
