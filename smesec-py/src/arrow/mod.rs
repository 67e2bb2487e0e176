//! Tables of other libraries, by Arrow's C data interface: read where they lie, none of their texts copied.
//!
//! Own code instead of a crate: what is needed of the interface is three C structures, and the crate that wraps
//! them for Python costs ten minutes of compiling (CPU time of a development build) and 4 MB.

mod column;
mod interface;

pub(crate) use column::Cells;
pub(crate) use interface::Source;
