//! Who may do what in the Cloud API.

use novella_rest::{
    policy::{READER, Who},
    rules,
};

rules! {
    EVENTS = "cloud:events", Who::Role(READER), "Follow what changes in a project.";
    EVENTS_ALL = "cloud:events:all_projects", Who::Admin, "Follow what changes in every project, and on hosts.";
    RIGHTS = "cloud:rights", Who::Anyone, "See what one may do.";
    REQUESTS_SHOW = "cloud:requests:show", Who::Role(READER), "Read the story of a request.";
    BUS_SHOW = "cloud:bus:show", Who::Admin, "See the queues of the bus.";
    DEAD_LETTERS_LIST = "cloud:bus:dead_letters:list", Who::Admin, "List messages that were set aside.";
    DEAD_LETTERS_RETRY = "cloud:bus:dead_letters:retry", Who::Admin, "Send messages again that were set aside.";
    DEAD_LETTERS_DROP = "cloud:bus:dead_letters:drop", Who::Admin, "Delete messages that were set aside.";
}
