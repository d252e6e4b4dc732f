//! The description of configuration keys: which there are, what each holds, and what it means.
//!
//! One table of [`Field`]s per section is the source of the reader, of the defaults, of the JSON Schema and of the
//! reference. It says nothing of YAML.

use std::time::Duration;

/// One key of a section.
#[derive(Debug)]
pub struct Field {
    /// The key as it is written in the file.
    pub name: &'static str,
    /// What its value must look like.
    pub value_type: ValueType,
    /// Whether it may be left out, and what holds then.
    pub presence: Presence,
    /// What it is for, in one or two sentences for a reader of the reference.
    pub doc: &'static str,
}

/// Whether both are the same key. Most that are as long differ in their first letter, and to see that takes no call; of
/// thousands of checks each asks hundreds of times.
#[must_use]
pub fn is_same_key(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.as_bytes().first() == other.as_bytes().first() && one == other
}

impl Field {
    /// A key that must be there.
    #[must_use]
    pub const fn required(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self { name, value_type, presence: Presence::Required, doc }
    }

    /// A key that may be left out (or `null`).
    #[must_use]
    pub const fn optional(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self { name, value_type, presence: Presence::Optional, doc }
    }

    /// A key that holds `default`, written as in the file, when it is left out.
    #[must_use]
    pub const fn with_default(
        name: &'static str,
        value_type: ValueType,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, value_type, presence: Presence::Default(default), doc }
    }
}

/// Whether a key may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must be there.
    Required,
    /// It may be missing; nothing holds then.
    Optional,
    /// It may be missing; this text, read by the same rule, holds then.
    Default(&'static str),
}

/// How a matcher is written.
#[derive(Debug)]
pub struct MatcherType {
    /// Its name in the schema.
    pub name: &'static str,
    /// What may stand for it that is no mapping.
    pub plain: &'static ValueType,
    /// The words of the mapping, of which there must be one.
    pub words: &'static [Field],
}

/// What the value of a key must look like.
#[derive(Debug)]
pub enum ValueType {
    /// A string. Any scalar is taken as it is written.
    Text,
    /// A string that in a workflow step may hold captured values, `${steps.<step>.<name>}`.
    Template,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number within bounds.
    Number {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// A duration such as `250ms` or `1m30s`.
    Duration {
        /// The shortest.
        min: Duration,
    },
    /// A duration, or a span of two as in `50ms..500ms`.
    DurationRange,
    /// A size such as `64KiB`.
    Size,
    /// A share such as `10%`.
    Share,
    /// A size or a share.
    SizeOrShare,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true`, `false` or one of these words.
    BoolOrWord(&'static [&'static str]),
    /// A URL with one of these schemes; in a workflow step its path and query may hold captured values.
    Url {
        /// The schemes, without `://`.
        schemes: &'static [&'static str],
    },
    /// A regular expression.
    Pattern,
    /// A status code, `2xx`, or a span such as `200-299`.
    Status,
    /// Any scalar, list or mapping, compared as JSON; in a workflow step a text may hold captured values.
    Operand,
    /// A number of any size, kept as it is written.
    Decimal,
    /// What a value must be like: a plain value, or a mapping of words.
    Matcher(&'static MatcherType),
    /// A list.
    List(&'static ValueType),
    /// One value, or a list of such.
    OneOrMany(&'static ValueType),
    /// A mapping with free keys.
    Map(&'static ValueType),
    /// A mapping with these keys.
    Section(&'static [Field]),
    /// A string, or a mapping with these keys where more than that is to be said.
    TextOrSection(&'static [Field]),
    /// A mapping with the keys of `fields` and exactly one of the sections of `one_of`, as a check or a step is.
    Choice {
        /// The common keys.
        fields: &'static [Field],
        /// The sections of which exactly one must be there.
        one_of: &'static [Field],
    },
}
