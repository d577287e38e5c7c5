//! Filters of lists: by equality, any of several values, as each attribute says whether it is one.

use novella_common::{
    db::{
        Bind, Kind, Sql,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{ApiError, list::nothing, truth};
use serde_json::Value;

use super::{Resource, attributes};
use crate::{Request, attributes::Field, errors::invalid_input};

/// Parameters of lists that filter by nothing.
pub(super) const PAGING: [&str; 6] = ["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"];
/// Filters by tags.
pub(super) const TAGS: [&str; 4] = ["tags", "tags-any", "not-tags", "not-tags-any"];

/// The filters of a query: each name with all of its values.
pub(crate) struct Filters<'q>(Vec<(&'q str, Vec<&'q str>)>);

impl<'q> Filters<'q> {
    /// Those of a request.
    pub(crate) fn of(request: &'q Request) -> Self {
        let mut filters: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, value) in request.query.iter().filter(|(name, _)| !PAGING.contains(name)) {
            match filters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => filters.push((name, vec![value])),
            }
        }
        Self(filters)
    }

    /// Narrows a list down by them.
    ///
    /// # Errors
    /// 400 for names that are no filters, and for values that can't be.
    pub(crate) fn narrow<R: Resource>(&self, request: &Request, mut list: List<R>) -> Result<List<R>, ApiError> {
        let unknown: Vec<String> =
            self.0.iter().filter(|(name, _)| !is_filter::<R>(name)).map(|(name, _)| format!("'{name}'")).collect();
        if !unknown.is_empty() {
            return Err(not_filters(&unknown));
        }
        for (name, values) in &self.0 {
            if let Some(condition) = condition::<R>(request, name, values)? {
                list = list.filter(condition);
            }
        }
        Ok(list)
    }
}

/// 400: these are no filters.
fn not_filters(names: &[String]) -> ApiError {
    ApiError::bad_request(format!("[{}] is invalid attribute for filtering", names.join(", ")))
}

/// The names of all filters of a resource.
pub(super) fn names<R: Resource>() -> impl Iterator<Item = &'static str> {
    let about = R::ABOUT;
    let tags = about.tags.is_some().then_some(TAGS).into_iter().flatten();
    let common = ["id", "project_id", "tenant_id"].into_iter().chain(about.stamped.then_some("revision_number"));
    let own = attributes::<R>().filter(|attribute| attribute.filter).map(|attribute| attribute.name);
    common.chain(own.filter(|name| *name != "tags")).chain(tags)
}

fn is_filter<R: Resource>(name: &str) -> bool {
    names::<R>().any(|known| known == name)
}

fn condition<R: Resource>(request: &Request, name: &str, values: &[&str]) -> Result<Option<Condition>, ApiError> {
    Ok(Some(match name {
        "id" => Condition::is_in("id", values),
        "project_id" | "tenant_id" => Condition::is_in("project_id", values),
        "revision_number" => Condition::is_in("revision_number", ints(values)?),
        _ if R::ABOUT.tags.is_some() && TAGS.contains(&name) => tags(name, values),
        _ => match R::FIELDS.iter().find(|field| field.attribute.name == name) {
            Some(field) => column(field, values)?,
            None => return R::filter(request, name, values),
        },
    }))
}

fn column(field: &Field, values: &[&str]) -> Result<Condition, ApiError> {
    Ok(match field.kind {
        Kind::Bool => Condition::is_in(field.column, flags(values)?),
        Kind::Int => Condition::is_in(field.column, ints(values)?),
        Kind::Text => Condition::is_in(field.column, values.iter().map(|value| in_form(field, value))),
        Kind::Uuid | Kind::Time | Kind::Json => nothing(),
    })
}

/// A value in the form in which the attribute's values are kept. What could be none of them stays as it came.
fn in_form(field: &Field, value: &str) -> String {
    match (field.attribute.check)(&Value::from(value)) {
        Ok(Value::String(text)) => text,
        _ => value.to_owned(),
    }
}

fn ints(values: &[&str]) -> Result<Vec<i64>, ApiError> {
    let int = |value: &&str| value.parse().map_err(|_| invalid_input(format!("'{value}' is not an integer")));
    values.iter().map(int).collect()
}

/// Values of a filter that is true or false.
pub(crate) fn flags(values: &[&str]) -> Result<Vec<bool>, ApiError> {
    let flag =
        |value: &&str| truth(value).ok_or_else(|| invalid_input(format!("'{value}' cannot be converted to boolean")));
    values.iter().map(flag).collect()
}

/// `tags=a,b`: all of them; `tags-any`: any; `not-`: not so.
fn tags(name: &str, values: &[&str]) -> Condition {
    let tags: Vec<&str> = values.iter().flat_map(|value| value.split(',')).collect();
    let tagged = |tags: &[&str]| {
        let mut sql = sql!("id IN (SELECT resource_id FROM network_tags WHERE tag");
        sql.is_in(tags).push(")");
        sql
    };
    let mut sql = Sql::new(if name.starts_with("not-") { "NOT (" } else { "(" });
    if name.ends_with("-any") {
        sql.append(tagged(&tags));
    } else {
        for (index, tag) in tags.iter().enumerate() {
            sql.push(if index == 0 { "" } else { " AND " }).append(tagged(&[tag]));
        }
    }
    sql.push(")");
    Condition::raw(sql)
}

/// The rows whose id is in a column of another table whose other column has one of these values.
pub(crate) fn in_table<T: Bind>(
    select: &'static str,
    column: &'static str,
    values: impl IntoIterator<Item = T>,
) -> Condition {
    let mut sql = Sql::new("id IN (");
    sql.push(select).push(" WHERE ").push(column).is_in(values).push(")");
    Condition::raw(sql)
}
