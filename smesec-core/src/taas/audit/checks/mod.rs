//! The checks, by what they look at.

pub(super) mod answers;
pub(super) mod brute;
pub(super) mod enumeration;
pub(super) mod injection;
pub(super) mod jwt;
pub(super) mod matrix;
pub(super) mod objects;
pub(super) mod session;
