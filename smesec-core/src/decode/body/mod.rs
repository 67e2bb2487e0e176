//! Streaming body parsers: form, multipart, JSON, XML and compressed bodies.
