//! The syntax tree.

/// Where a token starts in the rule files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Span {
    /// Index into [`Syntax::files`].
    pub file: u32,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in bytes, counted from 1.
    pub column: u32,
}

/// What was read: directives in the order in which they take effect, and every error.
#[derive(Debug, Default)]
pub struct Syntax {
    /// Names of the files read, in the order of opening.
    pub files: Vec<String>,
    /// Directives without syntax errors.
    pub directives: Vec<Directive>,
    /// What could not be read.
    pub errors: Vec<SyntaxError>,
}

impl Syntax {
    /// The name of the file a span points into; empty when the span is not of this tree.
    pub fn file_name(&self, span: Span) -> &str {
        usize::try_from(span.file)
            .ok()
            .and_then(|file| self.files.get(file))
            .map_or("", String::as_str)
    }

    /// Adds another tree behind this one, its spans renumbered to the joint list of files.
    pub fn append(&mut self, mut other: Self) {
        let by = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        for directive in &mut other.directives {
            directive.shift(by);
        }
        for error in &mut other.errors {
            error.span.shift(by);
        }
        self.files.append(&mut other.files);
        self.directives.append(&mut other.directives);
        self.errors.append(&mut other.errors);
    }
}

/// Why a directive was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// Where it went wrong.
    pub span: Span,
    /// The id of the rule, if one could be found in its text.
    pub rule: Option<u64>,
    /// What is wrong, then what to do.
    pub why: String,
}

/// One directive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    /// Where its name starts.
    pub span: Span,
    /// What it is.
    pub kind: DirectiveKind,
}

/// The directives the grammar tells apart.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DirectiveKind {
    /// `SecRule`.
    Rule(RuleSyntax),
    /// `SecAction`.
    Action(Vec<ActionSyntax>),
    /// `SecDefaultAction`.
    DefaultAction(Vec<ActionSyntax>),
    /// `SecMarker`: the label.
    Marker(String),
    /// `SecRuleUpdateTargetById`.
    UpdateTargetById {
        /// The rules meant.
        ids: Vec<IdRange>,
        /// The targets added or excluded.
        targets: Vec<TargetSyntax>,
    },
    /// `SecRuleUpdateTargetByTag`.
    UpdateTargetByTag {
        /// The pattern of the tag.
        tag: String,
        /// The targets added or excluded.
        targets: Vec<TargetSyntax>,
    },
    /// `SecRuleUpdateTargetByMsg`.
    UpdateTargetByMsg {
        /// The pattern of the message.
        msg: String,
        /// The targets added or excluded.
        targets: Vec<TargetSyntax>,
    },
    /// `SecRuleUpdateActionById`.
    UpdateActionById {
        /// The rule meant.
        id: u64,
        /// The actions that replace its own.
        actions: Vec<ActionSyntax>,
    },
    /// `SecRuleRemoveById`.
    RemoveById(Vec<IdRange>),
    /// `SecRuleRemoveByTag`: the pattern of the tag.
    RemoveByTag(String),
    /// `SecRuleRemoveByMsg`: the pattern of the message.
    RemoveByMsg(String),
    /// Every other directive, known or not.
    Setting {
        /// The name as written.
        name: String,
        /// The arguments without their quotes.
        arguments: Vec<Spanned<String>>,
    },
}

/// Rule ids from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct IdRange {
    /// The lowest id.
    pub first: u64,
    /// The highest id.
    pub last: u64,
}

/// The three parts of a `SecRule`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSyntax {
    /// What is looked at.
    pub targets: Vec<TargetSyntax>,
    /// How it is looked at.
    pub operator: OperatorSyntax,
    /// What then happens; empty when the rule has none.
    pub actions: Vec<ActionSyntax>,
}

/// One entry of a target list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetSyntax {
    /// Where it starts.
    pub span: Span,
    /// Written with `!`.
    pub exclude: bool,
    /// Written with `&`.
    pub count: bool,
    /// The collection or variable, upper-cased.
    pub collection: String,
    /// What follows the colon.
    pub selector: Option<Selector>,
}

/// Which entries of a collection.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Selector {
    /// By name, as written.
    Name(String),
    /// By the pattern between slashes, `\/` unescaped.
    Regex(String),
    /// The text behind the colon of `XML`, `REQUEST_XML` and `RESPONSE_XML`.
    XPath(String),
}

/// An operator with its argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorSyntax {
    /// Where it starts.
    pub span: Span,
    /// Written with `!`.
    pub negated: bool,
    /// The name without `@`, lower-cased; `rx` where none is written.
    pub name: String,
    /// The argument. A byte that is not part of valid UTF-8 is written as `\xHH`, which a regular
    /// expression reads as that byte.
    pub argument: String,
}

/// One action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionSyntax {
    /// Where it starts.
    pub span: Span,
    /// The name, lower-cased.
    pub name: String,
    /// The value without its quotes.
    pub value: Option<String>,
}

/// A value and where it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spanned<T> {
    /// Where it starts.
    pub span: Span,
    /// The value.
    pub value: T,
}

impl Span {
    fn shift(&mut self, by: u32) {
        self.file = self.file.saturating_add(by);
    }
}

impl Directive {
    fn shift(&mut self, by: u32) {
        fn targets(list: &mut [TargetSyntax], by: u32) {
            for target in list {
                target.span.shift(by);
            }
        }
        fn actions(list: &mut [ActionSyntax], by: u32) {
            for action in list {
                action.span.shift(by);
            }
        }
        self.span.shift(by);
        match &mut self.kind {
            DirectiveKind::Rule(rule) => {
                targets(&mut rule.targets, by);
                rule.operator.span.shift(by);
                actions(&mut rule.actions, by);
            }
            DirectiveKind::Action(list)
            | DirectiveKind::DefaultAction(list)
            | DirectiveKind::UpdateActionById { actions: list, .. } => actions(list, by),
            DirectiveKind::UpdateTargetById { targets: list, .. }
            | DirectiveKind::UpdateTargetByTag { targets: list, .. }
            | DirectiveKind::UpdateTargetByMsg { targets: list, .. } => targets(list, by),
            DirectiveKind::Setting { arguments, .. } => {
                for argument in arguments {
                    argument.span.shift(by);
                }
            }
            DirectiveKind::Marker(_)
            | DirectiveKind::RemoveById(_)
            | DirectiveKind::RemoveByTag(_)
            | DirectiveKind::RemoveByMsg(_) => {}
        }
    }
}
