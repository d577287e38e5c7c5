//! What a new cloud begins with.
