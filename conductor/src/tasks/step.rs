//! A long task as the list of its steps, and how the list is walked.
//!
//! A step is done while the task's row has the step's status. Each status has one or more steps, done in the order of
//! the list; one of them writes the next status. So whoever takes a task over begins with the first step of the status
//! that it finds: a step must do no harm when it is done again.

use futures_util::future::BoxFuture;
use novella_common::{
    db::DbError,
    models::{Migration, MigrationKind, MigrationStatus},
};

use super::{context::TaskContext, live_migrate, migrate};

/// Who does a step's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// The conductor itself, in the database or by asking the scheduler.
    Conductor,
    /// The source, called by the conductor, which waits for the answer.
    Source,
    /// The destination, called likewise.
    Destination,
    /// The source, told by a cast: it owns the task from then on, and its report brings it back to a conductor.
    SourceAlone,
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The following step of the same status.
    Step,
    /// The first step of the status that the row has now.
    Status,
    /// Nothing for now: the task has ended, waits to be let in or for a person, or is a host's.
    Rest,
    /// The same status again, after a pause.
    Again,
}

type Run = for<'a> fn(&'a mut TaskContext, &'a Migration) -> BoxFuture<'a, Result<Next, DbError>>;

/// One step of a long task.
pub struct Step {
    /// The status in which it is done.
    pub status: MigrationStatus,
    /// Who does it.
    pub worker: Worker,
    /// The contract's name for it where a host does it.
    pub name: &'static str,
    /// The step that undoes it, by name.
    pub undone_by: Option<&'static str>,
    run: Run,
}

impl Step {
    pub(super) const fn new(status: MigrationStatus, worker: Worker, name: &'static str, run: Run) -> Self {
        Self { status, worker, name, undone_by: None, run }
    }

    pub(super) const fn undone_by(self, name: &'static str) -> Self {
        Self { undone_by: Some(name), ..self }
    }
}

/// Describes a long task: `Status, Worker: step;` for each of its steps, in the order in which they are done. What does a
/// step is the function of its name.
macro_rules! step_list {
    ($($status:ident, $worker:ident: $step:ident $(, undone by $undoing:ident)?;)*) => {
        &[$(
            Step::new(
                ::novella_common::models::MigrationStatus::$status,
                $crate::tasks::step::Worker::$worker,
                stringify!($step),
                |task, migration| Box::pin($step(task, migration)),
            )
            $(.undone_by(stringify!($undoing)))?
        ),*]
    };
}

pub(super) use step_list;

/// The steps of the task of this kind.
#[must_use]
pub fn steps(kind: MigrationKind) -> &'static [Step] {
    match kind {
        MigrationKind::LiveMigration => live_migrate::STEPS,
        MigrationKind::Migration => migrate::STEPS,
    }
}

/// Does the steps of the status that the task's row has. The task must be this conductor's.
pub(super) async fn run(context: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    context.read(migration).await?;
    for step in steps(migration.kind).iter().filter(|step| step.status == migration.status) {
        tracing::debug!(migration = %migration.uuid, instance = %migration.instance, step = step.name, "step");
        match (step.run)(context, migration).await? {
            Next::Step => {}
            next => return Ok(next),
        }
    }
    Ok(Next::Rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_that_a_conductor_works_in_has_steps_and_each_undoing_is_a_step() {
        for kind in MigrationKind::ALL {
            let steps = steps(*kind);
            for step in steps {
                let undoing = step.undone_by.map(|name| steps.iter().any(|step| step.name == name));
                assert_ne!(undoing, Some(false), "{} is undone by nothing", step.name);
            }
            assert_eq!(steps.first().map(|step| step.status), Some(MigrationStatus::Accepted));
        }
    }
}
