//! Sessions over the network: what [`crate::taas`] acts through.
//!
//! HTTP/1.1 is a codec of our own: an audit has to see the raw order of headers, repeated ones,
//! and malformed answers, which general clients hide.
