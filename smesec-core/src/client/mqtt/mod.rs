//! MQTT 3.1.1 for tests: one connection, synchronous, under deadlines.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`packet`] | packets to bytes, and from bytes in any pieces |
//! | `session` | one client's connection: subscribe, publish, receive |
//!
//! MQTT 5 is not spoken.

pub mod packet;
mod session;

pub(super) use session::MqttSession;
