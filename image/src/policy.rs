//! Who may do what in the Image API: the rules under Glance's names (glance/policies/, 33.0.0).
//!
//! A row's rule says which role an operation asks for in the caller's own project. Whose the image is, and who sees it, is
//! looked at by `access.rs`, with the image at hand.

use novella_rest::{
    policy::{Claim, MEMBER, PolicyDescription, READER, SERVICE, Who},
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
    GET_IMAGES = "get_images", Who::Role(READER), "List images.";
    GET_IMAGE = "get_image", Who::Role(READER), "Show an image.";
    ADD_IMAGE = "add_image", Who::Role(MEMBER), "Make an image.";
    MODIFY_IMAGE = "modify_image", Who::Role(MEMBER), "Change an image.";
    DELETE_IMAGE = "delete_image", Who::Role(MEMBER), "Delete an image.";
    PUBLICIZE_IMAGE = "publicize_image", Who::Admin, "Show an image to everybody.";
    COMMUNITIZE_IMAGE = "communitize_image", Who::Role(MEMBER), "Show an image to everybody who asks for it.";
    DOWNLOAD_IMAGE = "download_image", Who::Role(MEMBER), "Read the bytes of an image.";
    UPLOAD_IMAGE = "upload_image", Who::Role(MEMBER), "Write the bytes of an image.";
    DEACTIVATE = "deactivate", Who::Role(MEMBER), "Give the bytes of an image to administrators only.";
    REACTIVATE = "reactivate", Who::Role(MEMBER), "Give the bytes of an image to everybody who sees it.";
    COPY_IMAGE = "copy_image", Who::Admin, "Copy the bytes of an image to another store.";
    DELETE_IMAGE_LOCATION = "delete_image_location", Who::Admin, "Remove the bytes of an image from a store.";
    GET_MEMBERS = "get_members", Who::Role(READER), "List the projects that an image is shared with.";
    GET_MEMBER = "get_member", Who::Role(READER), "Show a project that an image is shared with.";
    ADD_MEMBER = "add_member", Who::Role(MEMBER), "Share an image with a project.";
    DELETE_MEMBER = "delete_member", Who::Role(MEMBER), "End sharing an image with a project.";
    MODIFY_MEMBER = "modify_member", Who::Role(MEMBER), "Say whether an image that was shared with the project is wanted.";
    TASKS_API_ACCESS = "tasks_api_access", Who::Admin, "Ask about tasks.";
    STORES_INFO_DETAIL = "stores_info_detail", Who::Admin, "Show the stores in detail.";
    GET_STORES = "get_stores", Who::Anyone, "List the stores.";
    GET_IMPORT_METHODS = "get_import_methods", Who::Anyone, "List the ways to import an image.";
    GET_USAGE = "get_usage", Who::Anyone, "Show what a project uses of its quotas.";
    CACHE_LIST = "cache_list", Who::Admin, "List what is in the cache.";
    CACHE_IMAGE = "cache_image", Who::Admin, "Put an image into the cache.";
    CACHE_DELETE = "cache_delete", Who::Admin, "Remove an image from the cache.";
    CACHE_CLEAN = "cache_clean", Who::Admin, "Remove what is broken from the cache.";
    CACHE_PRUNE = "cache_prune", Who::Admin, "Make the cache as small as it is to be.";
    LIST_CACHED_NODES = "list_cached_nodes", Who::Admin, "Say which caches have an image.";
    FETCH_IMAGE_LOCATION = "fetch_image_location", Who::AnyOf(&[Claim::Role(SERVICE)]), "Say where the bytes of an image are.";
    ADD_IMAGE_LOCATION = "add_image_location", Who::Role(MEMBER), "Say that the bytes of an image are elsewhere.";
    GET_METADEF_NAMESPACES = "get_metadef_namespaces", Who::Role(READER), "List namespaces of metadata definitions.";
    GET_METADEF_NAMESPACE = "get_metadef_namespace", Who::Role(READER), "Show a namespace of metadata definitions.";
    ADD_METADEF_NAMESPACE = "add_metadef_namespace", Who::Admin, "Make a namespace of metadata definitions.";
    MODIFY_METADEF_NAMESPACE = "modify_metadef_namespace", Who::Admin, "Change a namespace of metadata definitions.";
    DELETE_METADEF_NAMESPACE = "delete_metadef_namespace", Who::Admin, "Delete a namespace of metadata definitions.";
    LIST_METADEF_RESOURCE_TYPES = "list_metadef_resource_types", Who::Role(READER), "List types of resources.";
    GET_METADEF_RESOURCE_TYPE = "get_metadef_resource_type", Who::Role(READER), "List the types of resources that a namespace is for.";
    ADD_METADEF_RESOURCE_TYPE_ASSOCIATION = "add_metadef_resource_type_association", Who::Admin, "Say that a namespace is for a type of resources.";
    REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION = "remove_metadef_resource_type_association", Who::Admin, "Say that a namespace is not for a type of resources.";
    GET_METADEF_OBJECTS = "get_metadef_objects", Who::Role(READER), "List the objects of a namespace.";
    GET_METADEF_OBJECT = "get_metadef_object", Who::Role(READER), "Show an object of a namespace.";
    ADD_METADEF_OBJECT = "add_metadef_object", Who::Admin, "Make an object of a namespace.";
    MODIFY_METADEF_OBJECT = "modify_metadef_object", Who::Admin, "Change an object of a namespace.";
    DELETE_METADEF_OBJECT = "delete_metadef_object", Who::Admin, "Delete an object of a namespace.";
    GET_METADEF_PROPERTIES = "get_metadef_properties", Who::Role(READER), "List the properties of a namespace.";
    GET_METADEF_PROPERTY = "get_metadef_property", Who::Role(READER), "Show a property of a namespace.";
    ADD_METADEF_PROPERTY = "add_metadef_property", Who::Admin, "Make a property of a namespace.";
    MODIFY_METADEF_PROPERTY = "modify_metadef_property", Who::Admin, "Change a property of a namespace.";
    REMOVE_METADEF_PROPERTY = "remove_metadef_property", Who::Admin, "Delete a property of a namespace.";
    GET_METADEF_TAGS = "get_metadef_tags", Who::Role(READER), "List the tags of a namespace.";
    GET_METADEF_TAG = "get_metadef_tag", Who::Role(READER), "Show a tag of a namespace.";
    ADD_METADEF_TAGS = "add_metadef_tags", Who::Admin, "Replace the tags of a namespace.";
    ADD_METADEF_TAG = "add_metadef_tag", Who::Admin, "Make a tag of a namespace.";
    MODIFY_METADEF_TAG = "modify_metadef_tag", Who::Admin, "Change a tag of a namespace.";
    DELETE_METADEF_TAG = "delete_metadef_tag", Who::Admin, "Delete a tag of a namespace.";
    DELETE_METADEF_TAGS = "delete_metadef_tags", Who::Admin, "Delete the tags of a namespace.";
    GET_SCHEMA = "get_schema", Who::Anyone, "Show a JSON schema.";
}
