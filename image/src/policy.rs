//! Who may do what in the Image API: the rules under Glance's names (glance/policies/, 33.0.0).
//!
//! A row's rule says which role an operation asks for in the caller's own project. Whose the image is, and who sees it, is
//! looked at by `access.rs`, with the image at hand.

use novella_rest::{
    policy::{MEMBER, READER, Who},
    rules,
};

rules! {
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
    GET_SCHEMA = "get_schema", Who::Anyone, "Show a JSON schema.";
}
