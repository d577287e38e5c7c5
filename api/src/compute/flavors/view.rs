//! What is shown of a flavor, and at which versions.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::models::{Flavor, RxtxFactor};
use novella_rest::{FieldTable, Link, field, paging::NextLink};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Request, policy};

/// Which versions have which fields of a flavor; those not named are in all.
const FIELDS: FieldTable = FieldTable(&[
    field("rxtx_factor").until(101),
    field("OS-FLV-DISABLED:disabled").until(101),
    field("description").since(55),
    field("extra_specs").since(61),
]);

/// A flavor in brief.
#[derive(Serialize, ToSchema)]
pub(super) struct Brief<'f> {
    id: &'f str,
    name: &'f str,
    links: [Link; 2],
    description: Option<&'f str>,
}

/// A flavor in detail.
#[derive(Serialize, ToSchema)]
pub(super) struct Detail<'f> {
    id: &'f str,
    name: &'f str,
    ram: i64,
    disk: i64,
    #[schema(value_type = i64)]
    swap: Swap,
    #[serde(rename = "OS-FLV-EXT-DATA:ephemeral")]
    ephemeral: i64,
    #[serde(rename = "OS-FLV-DISABLED:disabled")]
    disabled: bool,
    vcpus: i64,
    #[serde(rename = "os-flavor-access:is_public")]
    is_public: bool,
    #[schema(value_type = f32)]
    rxtx_factor: RxtxFactor,
    links: [Link; 2],
    description: Option<&'f str>,
    /// There if the caller may see extra specs.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_specs: Option<&'f BTreeMap<String, String>>,
}

/// Swap in MiB; no swap was an empty text before 2.75.
#[derive(Serialize)]
#[serde(untagged)]
enum Swap {
    MebiBytes(i64),
    Empty(&'static str),
}

fn brief<'f>(request: &Request, flavor: &'f Flavor) -> Brief<'f> {
    Brief {
        id: &flavor.id,
        name: &flavor.name,
        links: request.links.of(&format!("flavors/{}", flavor.id)),
        description: flavor.description.as_deref(),
    }
}

fn detail<'f>(request: &Request, flavor: &'f Flavor) -> Detail<'f> {
    let project = request.context.project_id.as_deref();
    let with_specs = policy::FLAVOR_EXTRA_SPECS_INDEX.allows(&request.context, project);
    Detail {
        id: &flavor.id,
        name: &flavor.name,
        ram: flavor.memory_mb,
        disk: flavor.disk_gb,
        swap: match flavor.swap_mb {
            0 if request.version.before(75) => Swap::Empty(""),
            size => Swap::MebiBytes(size),
        },
        ephemeral: flavor.ephemeral_gb,
        disabled: false,
        vcpus: flavor.vcpus,
        is_public: flavor.is_public,
        rxtx_factor: flavor.rxtx_factor,
        links: request.links.of(&format!("flavors/{}", flavor.id)),
        description: flavor.description.as_deref(),
        extra_specs: with_specs.then_some(&flavor.extra_specs),
    }
}

/// One flavor.
pub(super) fn one(request: &Request, flavor: &Flavor) -> Response {
    request.answer(&FIELDS).object("flavor", detail(request, flavor))
}

/// A page of flavors in detail.
pub(super) fn list(request: &Request, flavors: &[Flavor], next: Option<NextLink>) -> Response {
    let views: Vec<_> = flavors.iter().map(|flavor| detail(request, flavor)).collect();
    request.answer(&FIELDS).list("flavors", &views, next)
}

/// A page of flavors in brief.
pub(super) fn brief_list(request: &Request, flavors: &[Flavor], next: Option<NextLink>) -> Response {
    let views: Vec<_> = flavors.iter().map(|flavor| brief(request, flavor)).collect();
    request.answer(&FIELDS).list("flavors", &views, next)
}
