//! Who may do what in the Image API: the rules under Glance's names.

use novella_rest::{
    policy::{PolicyDescription, Who},
    rules,
};

/// The policy of Image. Its rules may name the project that an image belongs to.
pub(crate) const POLICY: PolicyDescription = PolicyDescription {
    rules: ALL,
    admin: CONTEXT_IS_ADMIN.name,
    in_project: |role| format!("rule:context_is_admin or (role:{role} and project_id:%(project_id)s)"),
    attributes: &["project_id"],
};

rules! {
    CONTEXT_IS_ADMIN = "context_is_admin", Who::Check("role:admin"), "Be an administrator, who sees every project's images.";
    GET_IMAGES = "get_images", Who::Anyone, "List images.";
    GET_IMAGE = "get_image", Who::Anyone, "Show an image.";
    DOWNLOAD_IMAGE = "download_image", Who::Anyone, "Read the bytes of an image.";
}
