//! What is said when there is no host, or a build is given up for another reason.

use jiff::Timestamp;
use novella_common::{
    db::{
        actions::EventOf,
        instances::transitions::{Build, FailedBuild, RevertedAttempt},
    },
    models::{ActionEvent, EventResult, Fault},
};

use crate::NoneLeft;

/// The event that a scheduler leaves in an instance's action when it finds no host. OpenStack has none for this; the
/// name follows its rule, the service and the method.
const EVENT: &str = "scheduler_build_instance";

/// Gives a build up. The texts are Nova's: clients and tests look for them.
pub(super) fn failed_build(build: &Build, none_left: Option<&NoneLeft>) -> FailedBuild {
    let instance = &build.instance;
    let message = if instance.attempts > 0 {
        format!(
            "No valid host was found. Exceeded maximum number of retries. Exhausted all hosts available for retrying \
             build failures for instance {}.",
            instance.uuid
        )
    } else {
        "No valid host was found. There are not enough hosts available.".to_owned()
    };
    let details: Vec<String> =
        [none_left.map(ToString::to_string), build.spec.last_failure.clone()].into_iter().flatten().collect();
    let fault = Fault {
        code: 500,
        message,
        details: (!details.is_empty()).then(|| details.join("\n")),
        created_at: Timestamp::now(),
    };
    FailedBuild { instance: instance.uuid, seen_task: instance.task_id, seen_owner: instance.owner, fault }
}

/// A build whose attempt was given up, which has just been taken back.
pub(super) fn given_up(attempt: &RevertedAttempt, fault: &Fault) -> FailedBuild {
    FailedBuild { instance: attempt.instance, seen_task: Some(attempt.attempt), seen_owner: None, fault: fault.clone() }
}

/// The event of a build that was given up.
pub(super) fn failure(failed_build: &FailedBuild, request_id: String) -> EventOf {
    let at = failed_build.fault.created_at;
    EventOf {
        instance: failed_build.instance,
        request_id,
        event: ActionEvent {
            event: EVENT.into(),
            host: None,
            start_time: at,
            finish_time: Some(at),
            result: Some(EventResult::Error),
            details: Some(match &failed_build.fault.details {
                Some(details) => format!("{}\n{details}", failed_build.fault.message),
                None => failed_build.fault.message.clone(),
            }),
        },
    }
}
