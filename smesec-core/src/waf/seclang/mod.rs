//! The SecLang parser: text to a syntax tree with spans.
