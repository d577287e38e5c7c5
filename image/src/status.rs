//! The states of an image, and what follows what.
//!
//! ```text
//!              upload                        all bytes are there
//!   queued ───────────────▶ saving ────────────────────────────────▶ active ◀──▶ deactivated
//!     │  ▲                    │                                        ▲
//!     │  └────────────────────┘ interrupted, refused                   │
//!     │  ▲                                                             │
//!     │  └──────────────────────────────┐ refused                      │
//!     ├────▶ uploading (being staged) ──┴─▶ importing ─────────────────┘
//!     └───────────── fetched from a URL ──────▲
//! ```
//!
//! An image can be deleted in each of them.

use novella_common::{name_columns, named};

named! {
    /// The state of an image.
    pub enum Status {
        /// A record without bytes.
        Queued = "queued",
        /// Its bytes are being uploaded.
        Saving = "saving",
        /// Its bytes are being staged, or are staged and wait for an import.
        Uploading = "uploading",
        /// It is being imported.
        Importing = "importing",
        /// Its bytes are there.
        Active = "active",
        /// Its bytes are there, and are given to administrators only.
        Deactivated = "deactivated",
    }
}

named! {
    /// Who sees an image.
    pub enum Visibility {
        /// Everybody; only administrators can say so.
        Public = "public",
        /// Everybody who asks for it; it is in nobody else's list.
        Community = "community",
        /// Its project, and the projects that are its members.
        Shared = "shared",
        /// Its project.
        Private = "private",
    }
}

named! {
    /// What a project says of an image that was shared with it.
    pub enum MemberStatus {
        /// Nothing yet.
        Pending = "pending",
        /// It wants to see the image in its lists.
        Accepted = "accepted",
        /// It does not.
        Rejected = "rejected",
    }
}

named! {
    /// What becomes of bytes in the store.
    pub enum ObjectState {
        /// Somebody writes them.
        Writing = "writing",
        /// They wait for an import.
        Staged = "staged",
        /// They are an image's.
        Kept = "kept",
        /// Nobody needs them: they are to be removed.
        Doomed = "doomed",
    }
}

named! {
    /// The state of a task.
    pub enum TaskStatus {
        /// Not begun.
        Pending = "pending",
        /// Under way.
        Processing = "processing",
        /// It has done what it was to do.
        Success = "success",
        /// It has not.
        Failure = "failure",
    }
}

name_columns!(Status, Visibility, MemberStatus, ObjectState, TaskStatus);

impl Status {
    /// Whether an image in this state can come into that one.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use Status::{Active, Deactivated, Importing, Queued, Saving, Uploading};
        matches!(
            (self, next),
            (Queued, Saving | Uploading | Importing | Active)
                | (Saving, Active | Queued)
                | (Uploading, Importing | Queued)
                | (Importing, Active | Queued)
                | (Active, Deactivated)
                | (Deactivated, Active)
        )
    }
}
