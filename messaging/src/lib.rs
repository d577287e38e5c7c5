//! RPC and notifications over AMQP or in process, wire-compatible with oslo.messaging.
