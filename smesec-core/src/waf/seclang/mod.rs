//! The SecLang parser: rule text to a syntax tree with spans.
//!
//! It knows the grammar of the ModSecurity rule language and nothing of what a variable, operator
//! or action means. It never stops at an error: the directive is left out, the error is kept and
//! parsing goes on with the next directive. Bytes that are not UTF-8 are written as `\xHH`.
//!
//! ```
//! use smesec_core::waf::seclang::{DirectiveKind, Memory, parse_text};
//! let syntax = parse_text(
//!     "own.conf",
//!     br#"SecRule ARGS:page "@contains ../" "id:1,phase:1,deny,msg:'path traversal'""#,
//!     &Memory::default(),
//! );
//! assert!(syntax.errors.is_empty());
//! let DirectiveKind::Rule(rule) = &syntax.directives[0].kind else { panic!() };
//! assert_eq!((rule.operator.name.as_str(), rule.operator.argument.as_str()), ("contains", "../"));
//! ```
mod line;
mod load;
mod parse;
mod syntax;
mod value;

pub use load::{Files, Loader, Memory};
pub use parse::{parse_path, parse_text};
pub use syntax::{
    ActionSyntax, Directive, DirectiveKind, IdRange, OperatorSyntax, RuleSyntax, Selector, Span,
    Spanned, Syntax, SyntaxError, TargetSyntax,
};
pub use value::{Ctl, Part, SetOp, SetVar, Template, parse_targets};

#[cfg(test)]
mod tests;
