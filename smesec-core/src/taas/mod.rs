//! Testing as a service: test files run against an application, and an audit of its doors.
//!
//! The engine acts through [`crate::runner::Session`]s that the host hands in; it opens no socket
//! itself. The room `client` has sessions over the network. Test files are in the format of Tavern:
//! [`Suite`] loads them, [`Runner`] runs them, [`Extension`] takes the functions that they call.
//!
//! ```
//! use smesec_core::taas::{Memory, Suite};
//! let text = "
//! test_name: the front door is shut
//! stages:
//!   - name: look at the admin page
//!     request: {url: 'http://localhost:8080/admin'}
//!     response: {status_code: 403}
//! ";
//! let suite = Suite::builder().files(Memory::default()).text("door.tavern.yaml", text).build();
//! assert_eq!(suite.tests()[0].name(), "the front door is shut");
//! assert!(suite.report().refused.is_empty());
//! ```

pub mod audit;
mod base64;
pub mod builtin;
mod expression;
mod extension;
mod files;
mod format;
mod pattern;
pub mod report;
mod run;
mod scope;
mod secret;
mod tavern;
mod url;
mod value;

pub use extension::{Call, Extension, Tincture};
pub use files::{Files, Folder, Memory};
pub use pattern::Pattern;
pub use run::Runner;
pub use secret::Secrets;
pub use tavern::{Outline, Suite, SuiteBuilder, Test};
pub use value::{Kind, Reach, Token, Value};
