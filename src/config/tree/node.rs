//! A value of the document, with its mark. What stands in the document as one piece is borrowed from it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::base::value::{SourceSpan, YamlPath};

/// What a node counts beside its text where it is copied, in bytes.
pub(super) const NODE_WEIGHT: usize = 16;

/// Where a node stands. Lines and columns are counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column of the first character.
    pub column: u32,
    /// How many characters of that line a caret should underline.
    pub width: u32,
}

impl Mark {
    /// The place of something at this mark with the YAML path `path`.
    pub fn span(self, path: impl Into<YamlPath>) -> SourceSpan {
        SourceSpan { path: path.into(), line: self.line, column: self.column, width: self.width }
    }
}

/// A value of the document.
#[derive(Debug)]
pub struct Node<'t> {
    /// Where it stands; for a mapping or list in block style, its first key or item.
    pub mark: Mark,
    /// What it is.
    pub content: NodeContent<'t>,
    /// How many levels it has below and with itself.
    pub(super) height: usize,
    /// How much it would add if it were copied.
    pub(super) weight: usize,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeContent<'t> {
    /// A text, a number, a yes or no, or nothing.
    Scalar(Scalar<'t>),
    /// A list.
    List(Vec<Rc<Node<'t>>>),
    /// A mapping, in the order of the file, keys unique, merge keys resolved.
    Map(Vec<MappingEntry<'t>>),
}

/// A scalar as written.
#[derive(Clone, Debug)]
pub struct Scalar<'t> {
    /// The text, with escapes and folding resolved; empty where nothing is written.
    pub text: Cow<'t, str>,
    /// Whether it can only be a text: quoted, in block style, or tagged `!!str`.
    pub quoted: bool,
    /// The line and column behind its last character.
    pub end: (u32, u32),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct MappingEntry<'t> {
    /// The key.
    pub key: Cow<'t, str>,
    /// Where the key stands.
    pub key_mark: Mark,
    /// The value; where nothing is written it stands at the key.
    pub value: Rc<Node<'t>>,
}

impl<'t> Node<'t> {
    /// The entries of a mapping; none of anything else. They are copied only where an alias has the node as well.
    pub fn into_entries(self: Rc<Self>) -> Vec<MappingEntry<'t>> {
        match Rc::try_unwrap(self).map_or_else(|shared| shared.content.clone(), |node| node.content) {
            NodeContent::Map(entries) => entries,
            NodeContent::List(_) | NodeContent::Scalar(_) => Vec::new(),
        }
    }

    /// The items of a list, likewise.
    pub fn into_items(self: Rc<Self>) -> Vec<Rc<Self>> {
        match Rc::try_unwrap(self).map_or_else(|shared| shared.content.clone(), |node| node.content) {
            NodeContent::List(items) => items,
            NodeContent::Map(_) | NodeContent::Scalar(_) => Vec::new(),
        }
    }

    /// The default of a key, which stands nowhere in the file: it is placed at the `mark` of its section.
    pub fn default_of(text: &'t str, mark: Mark) -> Self {
        // An empty default is an empty text, not nothing.
        Self::scalar(text, text.is_empty(), mark)
    }

    /// A value that is not written.
    pub(super) fn unwritten(mark: Mark) -> Self {
        Self::scalar("", false, mark)
    }

    fn scalar(text: &'t str, quoted: bool, mark: Mark) -> Self {
        let scalar = Scalar { text: text.into(), quoted, end: (mark.line, mark.column) };
        Self { mark, content: NodeContent::Scalar(scalar), height: 0, weight: NODE_WEIGHT }
    }

    /// Whether nothing stands here: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, NodeContent::Scalar(scalar) if !scalar.quoted
            && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL"))
    }
}
