//! Streaming body parsers: form, multipart, JSON, XML and compressed bodies.
//!
//! Each parser is bounded by limits of its own, recurses at most eight deep, and gives the same
//! result however its input is cut into chunks.

pub mod compress;
pub mod cookie;
pub mod form;
pub mod graphql;
pub mod json;
pub mod multipart;
mod multipart_header;
pub mod xml;
mod xml_encoding;
mod xml_entity;
mod xml_walk;
pub mod xpath;

#[cfg(test)]
pub(crate) mod testing;
