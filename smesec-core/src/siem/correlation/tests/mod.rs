//! The semantics, row by row, and against an oracle.
