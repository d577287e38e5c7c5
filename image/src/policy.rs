//! Who may do what in the Image API: the rules under Glance's names (glance/policies/, 33.0.0).
//!
//! A row's rule says which role an operation asks for in the caller's own project. Whose the image is, and who sees it, is
//! looked at by `access.rs`, with the image at hand.

use novella_rest::{
    policy::{
        MEMBERS, PolicyDescription, READERS, SERVICES,
        Who::{Admin, Anyone, Check},
    },
    rules,
};

/// The policy of Image. Its rules may name the project that an image belongs to.
static POLICY: PolicyDescription = PolicyDescription {
    denied: |rule| format!("You are not authorized to complete {rule} action."),
    ..PolicyDescription::DEFAULT
};

rules! { POLICY, "":
    CONTEXT_IS_ADMIN: Check("role:admin"), "Be an administrator, who sees every project's images.";
    GET_IMAGES: READERS, "List images.";
    GET_IMAGE: READERS, "Show an image.";
    ADD_IMAGE: MEMBERS, "Make an image.";
    MODIFY_IMAGE: MEMBERS, "Change an image.";
    DELETE_IMAGE: MEMBERS, "Delete an image.";
    PUBLICIZE_IMAGE: Admin, "Show an image to everybody.";
    COMMUNITIZE_IMAGE: MEMBERS, "Show an image to everybody who asks for it.";
    DOWNLOAD_IMAGE: MEMBERS, "Read the bytes of an image.";
    UPLOAD_IMAGE: MEMBERS, "Write the bytes of an image.";
    DEACTIVATE: MEMBERS, "Give the bytes of an image to administrators only.";
    REACTIVATE: MEMBERS, "Give the bytes of an image to everybody who sees it.";
    COPY_IMAGE: Admin, "Copy the bytes of an image to another store.";
    DELETE_IMAGE_LOCATION: Admin, "Remove the bytes of an image from a store.";
    GET_MEMBERS: READERS, "List the projects that an image is shared with.";
    GET_MEMBER: READERS, "Show a project that an image is shared with.";
    ADD_MEMBER: MEMBERS, "Share an image with a project.";
    DELETE_MEMBER: MEMBERS, "End sharing an image with a project.";
    MODIFY_MEMBER: MEMBERS, "Say whether an image that was shared with the project is wanted.";
    TASKS_API_ACCESS: Admin, "Ask about tasks.";
    STORES_INFO_DETAIL: Admin, "Show the stores in detail.";
    GET_STORES: Anyone, "List the stores.";
    GET_IMPORT_METHODS: Anyone, "List the ways to import an image.";
    GET_USAGE: Anyone, "Show what a project uses of its quotas.";
    CACHE_LIST: Admin, "List what is in the cache.";
    CACHE_IMAGE: Admin, "Put an image into the cache.";
    CACHE_DELETE: Admin, "Remove an image from the cache.";
    CACHE_CLEAN: Admin, "Remove what is broken from the cache.";
    CACHE_PRUNE: Admin, "Make the cache as small as it is to be.";
    LIST_CACHED_NODES: Admin, "Say which caches have an image.";
    FETCH_IMAGE_LOCATION: SERVICES, "Say where the bytes of an image are.";
    ADD_IMAGE_LOCATION: MEMBERS, "Say that the bytes of an image are elsewhere.";
    GET_METADEF_NAMESPACES: READERS, "List namespaces of metadata definitions.";
    GET_METADEF_NAMESPACE: READERS, "Show a namespace of metadata definitions.";
    ADD_METADEF_NAMESPACE: Admin, "Make a namespace of metadata definitions.";
    MODIFY_METADEF_NAMESPACE: Admin, "Change a namespace of metadata definitions.";
    DELETE_METADEF_NAMESPACE: Admin, "Delete a namespace of metadata definitions.";
    LIST_METADEF_RESOURCE_TYPES: READERS, "List types of resources.";
    GET_METADEF_RESOURCE_TYPE: READERS, "List the types of resources that a namespace is for.";
    ADD_METADEF_RESOURCE_TYPE_ASSOCIATION: Admin, "Say that a namespace is for a type of resources.";
    REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION: Admin, "Say that a namespace is not for a type of resources.";
    GET_METADEF_OBJECTS: READERS, "List the objects of a namespace.";
    GET_METADEF_OBJECT: READERS, "Show an object of a namespace.";
    ADD_METADEF_OBJECT: Admin, "Make an object of a namespace.";
    MODIFY_METADEF_OBJECT: Admin, "Change an object of a namespace.";
    DELETE_METADEF_OBJECT: Admin, "Delete an object of a namespace.";
    GET_METADEF_PROPERTIES: READERS, "List the properties of a namespace.";
    GET_METADEF_PROPERTY: READERS, "Show a property of a namespace.";
    ADD_METADEF_PROPERTY: Admin, "Make a property of a namespace.";
    MODIFY_METADEF_PROPERTY: Admin, "Change a property of a namespace.";
    REMOVE_METADEF_PROPERTY: Admin, "Delete a property of a namespace.";
    GET_METADEF_TAGS: READERS, "List the tags of a namespace.";
    GET_METADEF_TAG: READERS, "Show a tag of a namespace.";
    ADD_METADEF_TAGS: Admin, "Replace the tags of a namespace.";
    ADD_METADEF_TAG: Admin, "Make a tag of a namespace.";
    MODIFY_METADEF_TAG: Admin, "Change a tag of a namespace.";
    DELETE_METADEF_TAG: Admin, "Delete a tag of a namespace.";
    DELETE_METADEF_TAGS: Admin, "Delete the tags of a namespace.";
    GET_SCHEMA: Anyone, "Show a JSON schema.";
}
