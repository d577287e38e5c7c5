//! `/OS-OAUTH1/consumers`: programs that may ask for access by OAuth 1. Kept; the asking itself is not served.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    db::list::{Direction, SortKey},
    table,
};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{ListDescription, PAGED},
    open_body, patch, post,
};
use serde_json::{Map, Value, json};

use crate::{
    Request, db, policy,
    resource::{self, Resource, locked, no_marker, view, with_extra},
    secrets,
};

/// A consumer.
#[derive(Clone, Debug, PartialEq)]
struct Consumer {
    id: String,
    description: Option<String>,
    secret: String,
    extra: Map<String, Value>,
}

table! {
    Consumer in "oauth1_consumers", key text "id";
    id,
    description,
    secret,
    extra as Json,
}

static CONSUMERS: ListDescription = ListDescription {
    filters: &[],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/OS-OAUTH1/consumers";
    const ONE: &str = "/OS-OAUTH1/consumers/{consumer_id}";
    vec![
        get(ALL, policy::LIST_CONSUMERS, resource::index::<Consumer>).list(&CONSUMERS, u16::MAX),
        post(ALL, policy::CREATE_CONSUMER, create).status(201),
        get(ONE, policy::GET_CONSUMER, resource::show::<Consumer>),
        patch(ONE, policy::UPDATE_CONSUMER, update),
        delete(ONE, policy::DELETE_CONSUMER, resource::remove::<Consumer>).status(204),
    ]
}

open_body! {
    /// `POST /OS-OAUTH1/consumers`.
    struct NewConsumer in "consumer" {
        description: Option<String> = "description",
    }
}

open_body! {
    /// `PATCH /OS-OAUTH1/consumers/{consumer_id}`.
    struct ConsumerChange in "consumer" {
        description: Nullable<String> = "description",
    }
}

impl Resource for Consumer {
    const ONE: &'static str = "consumer";
    const MANY: &'static str = "consumers";
    const PATH: &'static str = "OS-OAUTH1/consumers";
    const LIST: &'static ListDescription = &CONSUMERS;

    fn id(&self) -> &str {
        &self.id
    }

    fn missing(_: &str) -> ApiError {
        ApiError::not_found("Consumer not found")
    }

    /// The secret is shown only when it is made.
    fn fields(&self, _: &Links) -> Map<String, Value> {
        with_extra(json!({"id": self.id, "description": self.description}), &self.extra)
    }
}

async fn create(request: Request, new: NewConsumer) -> Result<Response, ApiError> {
    let consumer =
        Consumer { id: db::new_id(), description: new.description, secret: secrets::hex()?, extra: new.extra };
    let transaction = request.state.database.begin().await?;
    resource::store(&request, transaction, &consumer).await?;
    let mut shown = view(&consumer, &request.links);
    shown["secret"] = consumer.secret.into();
    Ok((StatusCode::CREATED, Json(json!({"consumer": shown}))).into_response())
}

async fn update(request: Request, Path(id): Path<String>, change: ConsumerChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut consumer = locked::<Consumer>(&request, &mut transaction, &id).await?;
    if change.extra.contains_key("secret") {
        return Err(ApiError::bad_request("Cannot change consumer secret"));
    }
    if let Some(description) = change.description.change() {
        consumer.description = description;
    }
    consumer.extra.extend(change.extra);
    resource::change(&request, transaction, &consumer).await?;
    Ok(resource::shown(&request, &consumer))
}
