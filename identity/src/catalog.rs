//! The catalog: what the services and endpoints in the database say, for one token.

use std::collections::{HashMap, HashSet};

use novella_common::{
    db::{Connection, DbError, Json},
    sql,
};
use novella_rest::{Links, Token};
use serde::Serialize;
use utoipa::ToSchema;

use crate::inputs::Options;

/// All enabled endpoints of enabled services.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    services: Vec<Service>,
    /// The endpoints of projects that were given some: they see no others.
    of_projects: HashMap<String, HashSet<String>>,
}

#[derive(Debug)]
struct Service {
    id: String,
    kind: String,
    name: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    id: String,
    interface: String,
    region: Option<String>,
    url: String,
}

/// A service of the catalog with its endpoints, as a token shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceView {
    endpoints: Vec<EndpointView>,
    id: String,
    r#type: String,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct EndpointView {
    id: String,
    interface: String,
    region_id: Option<String>,
    url: String,
    region: Option<String>,
}

impl Catalog {
    /// Reads it.
    pub(crate) async fn read(connection: &mut Connection) -> Result<Self, DbError> {
        let services: Vec<(String, String, String)> =
            sql!("SELECT id, type, name FROM catalog_services WHERE enabled ORDER BY type, id")
                .fetch_all(connection)
                .await?;
        let mut services: Vec<Service> =
            services.into_iter().map(|(id, kind, name)| Service { id, kind, name, endpoints: Vec::new() }).collect();
        type Columns = (String, String, Option<String>, String, String);
        let endpoints: Vec<Columns> = sql!(
            "SELECT id, service_id, region_id, interface, url FROM catalog_endpoints WHERE enabled \
             ORDER BY service_id, region_id, interface, id"
        )
        .fetch_all(connection)
        .await?;
        for (id, service, region, interface, url) in endpoints {
            if let Some(service) = services.iter_mut().find(|known| known.id == service) {
                service.endpoints.push(Endpoint { id, interface, region, url });
            }
        }
        services.retain(|service| !service.endpoints.is_empty());
        let mut catalog = Self { services, of_projects: HashMap::new() };
        catalog.read_filters(connection).await?;
        Ok(catalog)
    }

    async fn read_filters(&mut self, connection: &mut Connection) -> Result<(), DbError> {
        let given: Vec<(String, String)> =
            sql!("SELECT project_id, endpoint_id FROM endpoint_projects").fetch_all(connection).await?;
        for (project, endpoint) in given {
            self.of_projects.entry(project).or_default().insert(endpoint);
        }
        let groups: Vec<(String, Json<Options>)> = sql!(
            "SELECT p.project_id, g.filters FROM endpoint_group_projects p JOIN endpoint_groups g \
             ON g.id = p.endpoint_group_id"
        )
        .fetch_all(connection)
        .await?;
        for (project, Json(filters)) in groups {
            let own = self.of_projects.entry(project).or_default();
            for service in &self.services {
                let fits = |endpoint: &&Endpoint| {
                    let region = endpoint.region.as_deref();
                    fits_filters(&filters, &service.id, &endpoint.interface, region)
                };
                own.extend(service.endpoints.iter().filter(fits).map(|endpoint| endpoint.id.clone()));
            }
        }
        Ok(())
    }

    /// The catalog as a token shows it.
    pub(crate) fn view(&self, token: &Token, links: &Links) -> Vec<ServiceView> {
        let project = token.project.as_ref().map(|project| project.id.as_str());
        let given = project.and_then(|project| self.of_projects.get(project));
        let endpoint = |endpoint: &Endpoint| {
            if given.is_some_and(|given| !given.contains(&endpoint.id)) {
                return None;
            }
            Some(EndpointView {
                id: endpoint.id.clone(),
                interface: endpoint.interface.clone(),
                region_id: endpoint.region.clone(),
                region: endpoint.region.clone(),
                url: substituted(&reachable(&endpoint.url, links), project, &token.user.id)?,
            })
        };
        let services = self.services.iter().map(|service| ServiceView {
            endpoints: service.endpoints.iter().filter_map(endpoint).collect(),
            id: service.id.clone(),
            r#type: service.kind.clone(),
            name: service.name.clone(),
        });
        services.filter(|service| !service.endpoints.is_empty()).collect()
    }
}

/// Whether an endpoint is in a group with these filters.
pub(crate) fn fits_filters(filters: &Options, service: &str, interface: &str, region: Option<&str>) -> bool {
    let is = |name: &str, value: Option<&str>| {
        filters.get(name).and_then(|wanted| wanted.as_str()).is_none_or(|wanted| value == Some(wanted))
    };
    is("service_id", Some(service)) && is("interface", Some(interface)) && is("region_id", region)
}

/// The URL of an endpoint for this client: that of a service of this cloud follows the address at which it is reached.
pub(crate) fn reachable(url: &str, links: &Links) -> String {
    if url.contains("://") { url.to_owned() } else { format!("{}/{}", links.base(), url.trim_start_matches('/')) }
}

/// A URL with the ids put in that it names: `%(project_id)s`. `None`: there is no such id.
fn substituted(url: &str, project: Option<&str>, user: &str) -> Option<String> {
    let mut text = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find(['%', '$']) {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let named = after[1..].strip_prefix('(').and_then(|inner| inner.split_once(")s"));
        let Some((name, after_name)) = named else {
            text.push_str(&after[..1]);
            rest = &after[1..];
            continue;
        };
        text.push_str(match name {
            "project_id" | "tenant_id" => project?,
            "user_id" => user,
            _ => return None,
        });
        rest = after_name;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::substituted;

    #[test]
    fn ids_are_put_into_urls_where_there_are_any() {
        for (url, expected) in [
            ("http://h/v3/%(tenant_id)s/x", Some("http://h/v3/p/x")),
            ("http://h/$(project_id)s", Some("http://h/p")),
            ("http://h/%(user_id)s", Some("http://h/u")),
            ("http://h/%20x$", Some("http://h/%20x$")),
            ("http://h/%(nothing)s", None),
        ] {
            assert_eq!(substituted(url, Some("p"), "u").as_deref(), expected, "{url}");
        }
        assert_eq!(substituted("http://h/%(tenant_id)s", None, "u"), None);
    }
}
