//! Who may do what in the Cloud API.

use novella_rest::{
    policy::{PolicyDescription, READER, Who},
    rules,
};

/// The policy of the Cloud API.
pub(super) const POLICY: PolicyDescription = PolicyDescription {
    rules: ALL,
    admin: CONTEXT_IS_ADMIN.name,
    in_project: |role| format!("rule:context_is_admin or (role:{role} and project_id:%(project_id)s)"),
    attributes: &["project_id"],
};

rules! {
    CONTEXT_IS_ADMIN = "context_is_admin", Who::Check("role:admin"), "Be an administrator, who sees what every project has.";
    EVENTS = "cloud:events", Who::Role(READER), "Follow what changes in a project.";
    EVENTS_ALL = "cloud:events:all_projects", Who::Admin, "Follow what changes in every project, and on hosts.";
    RIGHTS = "cloud:rights", Who::Anyone, "See what one may do.";
    REQUESTS_SHOW = "cloud:requests:show", Who::Role(READER), "Read the story of a request.";
    BUS_SHOW = "cloud:bus:show", Who::Admin, "See the queues of the bus.";
    DEAD_LETTERS_LIST = "cloud:bus:dead_letters:list", Who::Admin, "List messages that were set aside.";
    DEAD_LETTERS_RETRY = "cloud:bus:dead_letters:retry", Who::Admin, "Send messages again that were set aside.";
    DEAD_LETTERS_DROP = "cloud:bus:dead_letters:drop", Who::Admin, "Delete messages that were set aside.";
}
