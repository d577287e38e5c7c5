//! Ids of different things are different types, so that one can't be passed for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id (UUID version 4).
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// A server, in the API's words; an instance inside.
    InstanceUuid
}
uuid_id! {
    /// One operation that owns an instance's `task_state`: a build attempt, a stop, a live migration, ...
    ///
    /// Written together with `task_state`; a report which names another task than the row is out of date.
    TaskId
}
uuid_id! {
    /// A migration, live or cold.
    MigrationUuid
}
uuid_id! {
    /// What a compute host is beside its name: made once, kept in its state folder.
    ///
    /// A host that comes under the name of another one has another identity: it has none of that one's guests.
    HostIdentity
}
uuid_id! {
    /// One run of one service process, from its start to its end.
    ///
    /// Work that a process owns is marked with it, so that work of a process that is gone can be told from work of
    /// the same service started again.
    Incarnation
}
