//! Byte transformations: URL, HTML, JavaScript, CSS, Base64 and the like.
