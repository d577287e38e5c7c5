//! Finding work that nobody does any more.
