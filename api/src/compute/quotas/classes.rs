//! `/os-quota-class-sets`: limits by class. Those of the class `default` hold for every project that has none of its own; of
//! other classes nobody makes use, as in Nova.

use axum::response::Response;
use novella_common::db::quotas;
use novella_rest::{ApiError, Operation, Path, body, get, inputs::Integer, put};

use super::{
    Amounts, Resource,
    view::{CLASS, LimitsView},
};
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-quota-class-sets/{quota_class}";
    vec![
        get(ONE, policy::QUOTA_CLASS_SETS_SHOW, show).answers::<LimitsView>("quota_class_set"),
        put(ONE, policy::QUOTA_CLASS_SETS_UPDATE, update).answers::<LimitsView>("quota_class_set"),
    ]
}

body! {
    /// `PUT /os-quota-class-sets/{quota_class}`.
    struct NewLimits in "quota_class_set" {
        cores: Option<Integer<-1>> = "cores",
        fixed_ips: Option<Integer<-1>> = "fixed_ips".until(49),
        floating_ips: Option<Integer<-1>> = "floating_ips".until(49),
        injected_file_content_bytes: Option<Integer<-1>> = "injected_file_content_bytes".until(56),
        injected_file_path_bytes: Option<Integer<-1>> = "injected_file_path_bytes".until(56),
        injected_files: Option<Integer<-1>> = "injected_files".until(56),
        instances: Option<Integer<-1>> = "instances",
        key_pairs: Option<Integer<-1>> = "key_pairs",
        metadata_items: Option<Integer<-1>> = "metadata_items",
        ram: Option<Integer<-1>> = "ram",
        security_group_rules: Option<Integer<-1>> = "security_group_rules".until(49),
        security_groups: Option<Integer<-1>> = "security_groups".until(49),
        server_group_members: Option<Integer<-1>> = "server_group_members",
        server_groups: Option<Integer<-1>> = "server_groups",
    }
}

/// The names of classes that can be kept.
const LONGEST_NAME: usize = 255;

async fn show(request: Request, Path(class): Path<String>) -> Result<Response, ApiError> {
    let set = quotas::of_class(&mut *request.state.database.read().await?, &class).await?;
    let limits = Amounts::configured(&request.state.quota).with(set);
    Ok(request.answer(&CLASS).object("quota_class_set", LimitsView::new(Some(class), &limits)))
}

async fn update(request: Request, Path(class): Path<String>, new: NewLimits) -> Result<Response, ApiError> {
    if class.chars().count() > LONGEST_NAME {
        return Err(ApiError::bad_request(format!(
            "quota_class_name has {} characters, more than {LONGEST_NAME}.",
            class.chars().count()
        )));
    }
    let all = [
        (Resource::Cores, new.cores),
        (Resource::FixedIps, new.fixed_ips),
        (Resource::FloatingIps, new.floating_ips),
        (Resource::InjectedFileContentBytes, new.injected_file_content_bytes),
        (Resource::InjectedFilePathBytes, new.injected_file_path_bytes),
        (Resource::InjectedFiles, new.injected_files),
        (Resource::Instances, new.instances),
        (Resource::KeyPairs, new.key_pairs),
        (Resource::MetadataItems, new.metadata_items),
        (Resource::Ram, new.ram),
        (Resource::SecurityGroupRules, new.security_group_rules),
        (Resource::SecurityGroups, new.security_groups),
        (Resource::ServerGroupMembers, new.server_group_members),
        (Resource::ServerGroups, new.server_groups),
    ];
    let changes: Vec<_> = all.into_iter().filter_map(|(resource, limit)| Some((resource.name(), limit?.0))).collect();
    let mut connection = request.state.database.write().await?;
    quotas::set_class(&mut connection, &class, &changes).await?;
    let set = quotas::of_class(&mut connection, &class).await?;
    let limits = Amounts::configured(&request.state.quota).with(set);
    Ok(request.answer(&CLASS).object("quota_class_set", LimitsView::new(None, &limits)))
}
