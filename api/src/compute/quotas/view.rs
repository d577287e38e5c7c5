//! What quotas look like, and which version has which.

use novella_rest::{FieldTable, field};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Amounts, Resource};

/// Which versions of a quota set have which resources.
pub(super) const SET: FieldTable = FieldTable(&[
    field("fixed_ips").until(35),
    field("floating_ips").until(35),
    field("security_group_rules").until(35),
    field("security_groups").until(35),
    field("injected_file_content_bytes").until(56),
    field("injected_file_path_bytes").until(56),
    field("injected_files").until(56),
]);

/// Which versions of a quota class have which.
pub(super) const CLASS: FieldTable = FieldTable(&[
    field("fixed_ips").until(49),
    field("floating_ips").until(49),
    field("security_group_rules").until(49),
    field("security_groups").until(49),
    field("injected_file_content_bytes").until(56),
    field("injected_file_path_bytes").until(56),
    field("injected_files").until(56),
    field("server_group_members").since(50),
    field("server_groups").since(50),
]);

macro_rules! views {
    ($($resource:ident $field:ident),*) => {
        /// Limits. Which of them there are depends on the version.
        #[derive(Serialize, ToSchema)]
        pub(super) struct LimitsView {
            /// Of which project or class; not in the answer to a change.
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<String>,
            $(#[schema(required = false)] $field: i64),*
        }

        impl LimitsView {
            pub(super) fn new(id: Option<String>, limits: &Amounts) -> Self {
                Self { id, $($field: limits[Resource::$resource]),* }
            }
        }

        /// Limits, and what is in use.
        #[derive(Serialize, ToSchema)]
        pub(super) struct UsageView {
            id: String,
            $(#[schema(required = false)] $field: InUse),*
        }

        impl UsageView {
            pub(super) fn new(id: String, limits: &Amounts, in_use: &Amounts) -> Self {
                let of = |resource| InUse { limit: limits[resource], in_use: in_use[resource], reserved: 0 };
                Self { id, $($field: of(Resource::$resource)),* }
            }
        }
    };
}

views! {
    Cores cores, FixedIps fixed_ips, FloatingIps floating_ips,
    InjectedFileContentBytes injected_file_content_bytes, InjectedFilePathBytes injected_file_path_bytes,
    InjectedFiles injected_files, Instances instances, KeyPairs key_pairs, MetadataItems metadata_items, Ram ram,
    SecurityGroupRules security_group_rules, SecurityGroups security_groups,
    ServerGroupMembers server_group_members, ServerGroups server_groups
}

/// One resource of a quota set with details.
#[derive(Serialize, ToSchema)]
struct InUse {
    limit: i64,
    in_use: i64,
    /// Nothing is reserved any more, in Nova too.
    reserved: i64,
}
