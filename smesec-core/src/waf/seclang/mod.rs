//! The `SecLang` parser: rule text to a syntax tree with spans.
//!
//! It knows the grammar of the ModSecurity rule language and nothing of what a variable, operator
//! or action means. It never stops at an error: the directive is left out, the error is kept and
//! parsing goes on with the next directive.
mod syntax;

pub use syntax::{
    ActionSyntax, Directive, DirectiveKind, IdRange, OperatorSyntax, RuleSyntax, Selector, Span,
    Spanned, Syntax, SyntaxError, TargetSyntax,
};
