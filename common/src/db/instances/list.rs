//! What the API lists.
