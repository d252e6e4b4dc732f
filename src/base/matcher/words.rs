//! The words of a matcher, as tables of keys: the reader, the schema and the reference go by them.

use crate::base::field::{Field, MatcherType, ValueType};

/// A matcher of a JSON value: any value but a mapping must be equal.
pub const JSON: MatcherType = MatcherType { name: "json_matcher", plain: &ValueType::Operand, words: WORDS };

/// A matcher of a text, as a header has it or SQL gives it: what a scalar means is for the key to say.
pub const TEXT: MatcherType = MatcherType { name: "text_matcher", plain: &ValueType::Template, words: WORDS };

/// A matcher of a length: a number must be equal.
pub const LENGTH: MatcherType = MatcherType { name: "length_matcher", plain: &ValueType::Decimal, words: LENGTH_WORDS };

/// All words.
pub const WORDS: &[Field] = &[
    Field::optional(
        "equals",
        ValueType::Operand,
        "It is this value. Numbers are compared as numbers, of any length and exactly: `12.50` is `12.5`; in JSON a text is \
         no number. Written here, one of 1e309 or beyond is a text, as a commit such as `1234e567` is.",
    ),
    Field::optional("not", ValueType::Operand, "It is there, and is not this value."),
    Field::optional("above", ValueType::Decimal, "It is a number above this one."),
    Field::optional("at_least", ValueType::Decimal, "It is this number, or one above."),
    Field::optional("below", ValueType::Decimal, "It is a number below this one."),
    Field::optional("at_most", ValueType::Decimal, "It is this number, or one below."),
    Field::optional("one_of", ValueType::List(&ValueType::Operand), "It is one of these values."),
    Field::optional(
        "contains",
        ValueType::Template,
        "It is a text with this in it, a list with such an item, or a mapping with such a key.",
    ),
    Field::optional("lacks", ValueType::Template, "It is there, and does not contain this."),
    Field::optional(
        "matches",
        ValueType::Pattern,
        "It is a text in which this regular expression matches somewhere. A number in JSON is the text that the answer has, \
         `1.50`, an exponent with its sign: `1e+3` where it has `1e3`.",
    ),
    Field::optional("exists", ValueType::Bool, "Whether it is there; `null` is. `false` stands alone."),
    Field::optional(
        "length",
        ValueType::Matcher(&LENGTH),
        "The characters of a text, the items of a list or the keys of a mapping: a number, or a mapping of `equals`, \
         `not`, `above`, `at_least`, `below`, `at_most` and `one_of`.",
    ),
];

/// What can be said of a length.
const LENGTH_WORDS: &[Field] = &[
    Field::optional("equals", ValueType::Decimal, "It is this number."),
    Field::optional("not", ValueType::Decimal, "It is not this number."),
    Field::optional("above", ValueType::Decimal, "It is above this number."),
    Field::optional("at_least", ValueType::Decimal, "It is this number, or above."),
    Field::optional("below", ValueType::Decimal, "It is below this number."),
    Field::optional("at_most", ValueType::Decimal, "It is this number, or below."),
    Field::optional("one_of", ValueType::List(&ValueType::Decimal), "It is one of these numbers."),
];
