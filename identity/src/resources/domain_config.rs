//! `/domains/{domain_id}/config`: what Keystone calls the configuration of a domain: where its users come from. Kept and
//! given back; users come from this cloud's database here, whatever it says.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{Connection, Json as JsonColumn},
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, patch, put, wrapped};
use serde_json::{Map, Value, json};

use super::projects::existing_domain;
use crate::{Request, inputs::Options, policy};

/// Groups with their options, and what each is without a configuration (keystone/conf, `identity` and `ldap`).
const DEFAULTS: &str = include_str!("domain_config_defaults.json");

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/domains/{domain_id}/config";
    const GROUP: &str = "/domains/{domain_id}/config/{group}";
    const OPTION: &str = "/domains/{domain_id}/config/{group}/{option}";
    vec![
        get("/domains/config/default", policy::GET_DOMAIN_CONFIG_DEFAULT, defaults),
        get("/domains/config/{group}/default", policy::GET_DOMAIN_CONFIG_DEFAULT, group_defaults),
        get("/domains/config/{group}/{option}/default", policy::GET_DOMAIN_CONFIG_DEFAULT, option_default),
        put(ALL, policy::CREATE_DOMAIN_CONFIG, create).status(201),
        get(ALL, policy::GET_DOMAIN_CONFIG, show),
        patch(ALL, policy::UPDATE_DOMAIN_CONFIG, update),
        delete(ALL, policy::DELETE_DOMAIN_CONFIG, remove).status(204),
        get(GROUP, policy::GET_DOMAIN_CONFIG, show_group),
        patch(GROUP, policy::UPDATE_DOMAIN_CONFIG, update_group),
        delete(GROUP, policy::DELETE_DOMAIN_CONFIG, remove_group).status(204),
        get(OPTION, policy::GET_DOMAIN_CONFIG, show_option),
        patch(OPTION, policy::UPDATE_DOMAIN_CONFIG, update_option),
        delete(OPTION, policy::DELETE_DOMAIN_CONFIG, remove_option).status(204),
    ]
}

/// The whole, or one group, or one option of it.
#[derive(Clone, Copy, Default)]
struct Part<'p> {
    group: Option<&'p str>,
    option: Option<&'p str>,
}

fn known() -> Map<String, Value> {
    serde_json::from_str(DEFAULTS).unwrap_or_default()
}

/// 403 in Keystone's words.
fn invalid(reason: &str) -> ApiError {
    ApiError::Forbidden(format!("Invalid domain specific configuration: {reason}."))
}

/// A group, and an option of it, that there can be.
fn check(group: &str, option: Option<&str>) -> Result<Value, ApiError> {
    let known = known();
    let options = known
        .get(group)
        .ok_or_else(|| invalid(&format!("Group {group} is not supported for domain specific configurations")))?;
    match option {
        None => Ok(options.clone()),
        Some(option) => options.get(option).cloned().ok_or_else(|| {
            invalid(&format!("Option {option} in group {group} is not supported for domain specific configurations"))
        }),
    }
}

fn shown(config: Value) -> Response {
    Json(json!({"config": config})).into_response()
}

async fn defaults(_: Request) -> Result<Response, ApiError> {
    Ok(shown(known().into()))
}

async fn group_defaults(_: Request, Path(group): Path<String>) -> Result<Response, ApiError> {
    Ok(shown(json!({ group.as_str(): check(&group, None)? })))
}

async fn option_default(_: Request, Path((group, option)): Path<(String, String)>) -> Result<Response, ApiError> {
    Ok(shown(json!({ option.as_str(): check(&group, Some(&option))? })))
}

/// The configuration of a domain, or a part of it.
async fn read(connection: &mut Connection, domain: &str, part: Part<'_>) -> Result<Map<String, Value>, ApiError> {
    existing_domain(connection, domain).await?;
    if let Some(group) = part.group {
        check(group, part.option)?;
    }
    let rows: Vec<(String, String, JsonColumn<Value>)> = sql!(
        "SELECT option_group, option_name, value FROM domain_config_options WHERE domain_id = " (domain)
        " ORDER BY option_group, option_name"
    )
    .fetch_all(connection)
    .await?;
    let mut config: Map<String, Value> = Map::new();
    for (group, option, JsonColumn(value)) in rows {
        let wanted =
            part.group.is_none_or(|wanted| wanted == group) && part.option.is_none_or(|wanted| wanted == option);
        if wanted {
            let options = config.entry(group).or_insert_with(|| json!({}));
            options[option] = value;
        }
    }
    if !config.is_empty() {
        return Ok(config);
    }
    let what = match part {
        Part { group: Some(group), option: Some(option) } => format!("option {option} in group {group}"),
        Part { group: Some(group), option: None } => format!("group {group}"),
        _ => "any options".to_owned(),
    };
    Err(ApiError::not_found(format!("Could not find {what} in domain configuration for domain {domain}.")))
}

/// Writes options, beside those that are there.
async fn write(connection: &mut Connection, domain: &str, config: &Options) -> Result<(), ApiError> {
    for (group, options) in config {
        check(group, None)?;
        let Value::Object(options) = options else {
            return Err(invalid(&format!(
                "The value of group {group} specified in the config should be a dictionary of options"
            )));
        };
        for (option, value) in options {
            check(group, Some(option))?;
            sql!(
                "INSERT INTO domain_config_options (domain_id, option_group, option_name, value) VALUES (" (domain)
                ", " (group) ", " (option) ", " (JsonColumn(value))
                ") ON CONFLICT (domain_id, option_group, option_name) DO UPDATE SET value = excluded.value"
            )
            .execute(connection)
            .await?;
        }
    }
    Ok(())
}

/// Deletes options.
async fn erase(connection: &mut Connection, domain: &str, part: Part<'_>) -> Result<(), ApiError> {
    let mut sql = sql!("DELETE FROM domain_config_options WHERE domain_id = "(domain));
    if let Some(group) = part.group {
        sql.push(" AND option_group = ").bind(group);
    }
    if let Some(option) = part.option {
        sql.push(" AND option_name = ").bind(option);
    }
    sql.execute(connection).await?;
    Ok(())
}

async fn config_in(request: &mut Request) -> Result<Options, ApiError> {
    let config = wrapped(request.json().await?, "config")?.clone();
    if config.is_empty() {
        return Err(invalid("No options specified"));
    }
    Ok(config)
}

async fn create(mut request: Request, Path(domain): Path<String>) -> Result<Response, ApiError> {
    let config = config_in(&mut request).await?;
    let mut transaction = request.state.database.begin().await?;
    existing_domain(&mut transaction, &domain).await?;
    erase(&mut transaction, &domain, Part::default()).await?;
    write(&mut transaction, &domain, &config).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, shown(config.into())).into_response())
}

async fn show(request: Request, Path(domain): Path<String>) -> Result<Response, ApiError> {
    let config = read(&mut *request.state.database.read().await?, &domain, Part::default()).await?;
    Ok(shown(config.into()))
}

async fn show_group(request: Request, Path((domain, group)): Path<(String, String)>) -> Result<Response, ApiError> {
    let part = Part { group: Some(&group), option: None };
    let config = read(&mut *request.state.database.read().await?, &domain, part).await?;
    Ok(shown(config.into()))
}

async fn show_option(
    request: Request,
    Path((domain, group, option)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let part = Part { group: Some(&group), option: Some(&option) };
    let config = read(&mut *request.state.database.read().await?, &domain, part).await?;
    Ok(shown(config.get(&group).cloned().unwrap_or_default()))
}

/// Changes what is there; a part that is named must be there.
async fn changed(request: &Request, domain: &str, part: Part<'_>, config: &Options) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    read(&mut transaction, domain, part).await?;
    write(&mut transaction, domain, config).await?;
    let whole = read(&mut transaction, domain, Part::default()).await?;
    transaction.commit().await?;
    Ok(shown(whole.into()))
}

async fn update(mut request: Request, Path(domain): Path<String>) -> Result<Response, ApiError> {
    let config = config_in(&mut request).await?;
    changed(&request, &domain, Part::default(), &config).await
}

async fn update_group(
    mut request: Request,
    Path((domain, group)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let config = config_in(&mut request).await?;
    if let Some(other) = config.keys().find(|given| **given != group) {
        return Err(invalid(&format!(
            "request to update group {group}, but config provided contains group {other} instead"
        )));
    }
    changed(&request, &domain, Part { group: Some(&group), option: None }, &config).await
}

async fn update_option(
    mut request: Request,
    Path((domain, group, option)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let given = config_in(&mut request).await?;
    if let Some(other) = given.keys().find(|given| **given != option) {
        return Err(invalid(&format!(
            "Trying to update option {option} in group {group}, but config provided contains option {other} instead"
        )));
    }
    let config = Map::from_iter([(group.clone(), Value::Object(given))]);
    changed(&request, &domain, Part { group: Some(&group), option: Some(&option) }, &config).await
}

/// Deletes what is there.
async fn deleted(request: &Request, domain: &str, part: Part<'_>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    read(&mut transaction, domain, part).await?;
    erase(&mut transaction, domain, part).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(request: Request, Path(domain): Path<String>) -> Result<StatusCode, ApiError> {
    deleted(&request, &domain, Part::default()).await
}

async fn remove_group(request: Request, Path((domain, group)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    deleted(&request, &domain, Part { group: Some(&group), option: None }).await
}

async fn remove_option(
    request: Request,
    Path((domain, group, option)): Path<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    deleted(&request, &domain, Part { group: Some(&group), option: Some(&option) }).await
}
