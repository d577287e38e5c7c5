//! The contract macro of novella-messaging.
