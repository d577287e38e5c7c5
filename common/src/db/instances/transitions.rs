//! What schedulers and conductors change.
