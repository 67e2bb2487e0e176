//! Detection of SQL injection and cross-site scripting by tokenising (the libinjection algorithm).
