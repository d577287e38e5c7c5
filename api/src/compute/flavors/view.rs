//! What is shown of a flavor, and at which versions.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use novella_common::{models::Flavor, policy};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::microversion::{FieldTable, Microversion, Shaped, field};
use crate::{
    authentication::Caller,
    links::{Link, Links},
    paging::Next,
};

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
    rxtx_factor: f32,
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

impl<'f> Brief<'f> {
    fn new(flavor: &'f Flavor, links: &Links) -> Self {
        Self {
            id: &flavor.id,
            name: &flavor.name,
            links: links.of(&format!("flavors/{}", flavor.id)),
            description: flavor.description.as_deref(),
        }
    }
}

impl<'f> Detail<'f> {
    fn new(flavor: &'f Flavor, version: Microversion, with_specs: bool, links: &Links) -> Self {
        Self {
            id: &flavor.id,
            name: &flavor.name,
            ram: flavor.memory_mb,
            disk: flavor.disk_gb,
            swap: if flavor.swap_mb == 0 && version < Microversion::v2(75) {
                Swap::Empty("")
            } else {
                Swap::MebiBytes(flavor.swap_mb)
            },
            ephemeral: flavor.ephemeral_gb,
            disabled: false,
            vcpus: flavor.vcpus,
            is_public: flavor.is_public,
            rxtx_factor: 1.0,
            links: links.of(&format!("flavors/{}", flavor.id)),
            description: flavor.description.as_deref(),
            extra_specs: with_specs.then_some(&flavor.extra_specs),
        }
    }
}

/// `{"flavor": ...}`.
#[derive(Serialize, ToSchema)]
pub(super) struct FlavorBody<'f> {
    #[schema(value_type = Detail)]
    flavor: Shaped<'f, Detail<'f>>,
}

/// `{"flavors": [...]}`.
#[derive(Serialize, ToSchema)]
pub(super) struct FlavorsBody<'f> {
    #[schema(value_type = Vec<Detail>)]
    flavors: Vec<Shaped<'f, Detail<'f>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flavors_links: Option<[Next; 1]>,
}

/// `{"flavors": [...]}`, in brief.
#[derive(Serialize, ToSchema)]
pub(super) struct BriefFlavorsBody<'f> {
    #[schema(value_type = Vec<Brief>)]
    flavors: Vec<Shaped<'f, Brief<'f>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flavors_links: Option<[Next; 1]>,
}

/// `{"extra_specs": {...}}`.
#[derive(Serialize, ToSchema)]
pub(super) struct SpecsBody {
    pub(super) extra_specs: BTreeMap<String, String>,
}

/// What all flavors of one answer have in common.
pub(super) struct View<'a> {
    version: Microversion,
    links: &'a Links,
    with_specs: bool,
    hidden: Vec<&'static str>,
}

impl<'a> View<'a> {
    pub(super) fn new(version: Microversion, caller: &Caller, links: &'a Links) -> Self {
        let project = caller.context.project_id.as_deref();
        Self {
            version,
            links,
            with_specs: policy::FLAVOR_EXTRA_SPECS_INDEX.allows(&caller.context, project),
            hidden: FIELDS.hidden(version),
        }
    }

    pub(super) fn one(&self, flavor: &Flavor) -> Response {
        Json(FlavorBody { flavor: self.detail(flavor) }).into_response()
    }

    pub(super) fn list(&self, flavors: &[Flavor], flavors_links: Option<[Next; 1]>) -> Response {
        let flavors = flavors.iter().map(|flavor| self.detail(flavor)).collect();
        Json(FlavorsBody { flavors, flavors_links }).into_response()
    }

    pub(super) fn brief_list(&self, flavors: &[Flavor], flavors_links: Option<[Next; 1]>) -> Response {
        let brief = |flavor| Shaped { whole: Brief::new(flavor, self.links), hidden: &self.hidden };
        Json(BriefFlavorsBody { flavors: flavors.iter().map(brief).collect(), flavors_links }).into_response()
    }

    fn detail<'f>(&'f self, flavor: &'f Flavor) -> Shaped<'f, Detail<'f>> {
        let whole = Detail::new(flavor, self.version, self.with_specs, self.links);
        Shaped { whole, hidden: &self.hidden }
    }
}
