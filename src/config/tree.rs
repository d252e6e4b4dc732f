//! YAML text as a tree of nodes with marks, within bounds: no input makes it hang, recurse deeply or grow.
//!
//! Scalars stay as they are written: what a `5` means is for the reader to say, who knows what is wanted. Aliases share
//! the node they name; how much they add to a walk over the tree is bounded.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::quote::told_key;
use super::syntax::MAX_DEPTH;
use super::{path, syntax};
use crate::base::value::{Problem, Severity, SourceSpan};

/// The most nodes of a document.
const MAX_NODES: usize = 100_000;

/// What aliases may add to a document, in bytes of text plus [`NODE_WEIGHT`] a node.
const MAX_COPIED: usize = 1 << 20;
const NODE_WEIGHT: usize = 16;

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
    pub fn span(self, path: impl Into<String>) -> SourceSpan {
        SourceSpan { path: path.into(), line: self.line, column: self.column, width: self.width }
    }
}

/// A value of the document.
#[derive(Debug)]
pub struct Node {
    /// Where it stands; for a mapping or list in block style, its first key or item.
    pub mark: Mark,
    /// What it is.
    pub content: NodeContent,
    /// How many levels it has below and with itself.
    height: usize,
    /// How much it would add if it were copied.
    weight: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum NodeContent {
    /// A text, a number, a yes or no, or nothing.
    Scalar(Scalar),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file, keys unique, merge keys resolved.
    Map(Vec<MappingEntry>),
}

/// A scalar as written.
#[derive(Debug)]
pub struct Scalar {
    /// The text, with escapes and folding resolved; empty where nothing is written.
    pub text: String,
    /// Whether it can only be a text: quoted, in block style, or tagged `!!str`.
    pub quoted: bool,
    /// The line and column behind its last character.
    pub end: (u32, u32),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct MappingEntry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_mark: Mark,
    /// The value; where nothing is written it stands at the key.
    pub value: Rc<Node>,
}

impl Node {
    /// The default of a key, which stands nowhere in the file: it is placed at the `mark` of its section.
    pub fn default_of(text: &str, mark: Mark) -> Self {
        // An empty default is an empty text, not nothing.
        Self::scalar(text, text.is_empty(), mark)
    }

    /// A value that is not written.
    fn unwritten(mark: Mark) -> Self {
        Self::scalar("", false, mark)
    }

    fn scalar(text: &str, quoted: bool, mark: Mark) -> Self {
        let scalar = Scalar { text: text.to_owned(), quoted, end: (mark.line, mark.column) };
        Self { mark, content: NodeContent::Scalar(scalar), height: 0, weight: NODE_WEIGHT }
    }

    /// Whether nothing stands here: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, NodeContent::Scalar(scalar) if !scalar.quoted
            && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// The one document in `text`. Problems go to `report`; without a usable document there is one at least.
pub fn parse(text: &str, report: &mut dyn FnMut(Problem)) -> Option<Rc<Node>> {
    let mut builder = Builder::new(text, report);
    let limits = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: false,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    for event in Parser::new_from_str_with_options(text, limits) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(syntax::explained(&error, text)),
        };
        if let Err(problem) = step {
            (builder.report)(*problem);
            return None;
        }
    }
    let empty =
        |node: &Node| node.is_null() || matches!(&node.content, NodeContent::Map(entries) if entries.is_empty());
    match builder.root.filter(|root| !empty(root)) {
        Some(root) => Some(root),
        None => {
            let help = Some("write `checks: []` if there is nothing to check".into());
            let mark = Mark { line: 1, column: 1, width: 1 };
            (builder.report)(problem("empty-document", "the file holds no configuration", help, mark.span("")));
            None
        }
    }
}

/// The list or mapping that the default of a key is written as; it stands at `mark`. An empty mapping is no document
/// of its own.
pub fn parse_default(text: &str, mark: Mark) -> Node {
    let parsed = || parse(text, &mut |_| {}).and_then(|root| Rc::try_unwrap(root).ok());
    let content = match text {
        "[]" => NodeContent::List(Vec::new()),
        _ => parsed().map_or_else(|| NodeContent::Map(Vec::new()), |root| root.content),
    };
    Node { mark, content, height: 0, weight: NODE_WEIGHT }
}

/// Stops the parsing.
type Fatal = Box<Problem>;

struct Builder<'t, 'r> {
    lines: Vec<&'t str>,
    report: &'r mut dyn FnMut(Problem),
    open: Vec<Frame>,
    root: Option<Rc<Node>>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    copied: usize,
    documents: usize,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    mark: Mark,
    anchor: usize,
    /// The first child sets the width of a collection in block style.
    block: bool,
    height: usize,
    weight: usize,
    content: OpenCollection,
}

enum OpenCollection {
    List(Vec<Rc<Node>>),
    /// `keys` tells the line of each key so far.
    Map {
        entries: Vec<MappingEntry>,
        keys: HashMap<String, u32>,
        merged: Vec<(Mark, Rc<Node>)>,
        key: PendingKey,
    },
}

/// What is known of the next entry of a mapping.
enum PendingKey {
    /// The next node is a key.
    Awaited,
    /// The next node is the value of this key.
    Known(String, Mark),
    /// The next node is merged into the mapping.
    Merge(Mark),
    /// The next node is the value of a key that has been reported.
    Unusable,
}

impl<'t, 'r> Builder<'t, 'r> {
    fn new(text: &'t str, report: &'r mut dyn FnMut(Problem)) -> Self {
        Self {
            lines: super::text::lines(text).collect(),
            report,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            copied: 0,
            documents: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fatal> {
        match event {
            Event::DocumentStart(..) => self.document(&span),
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.is_text(style, tag.as_deref(), &span);
                // A value that is not written is a `~` without a width.
                let written = span.start != span.end || style != ScalarStyle::Plain;
                let text = if written { text.into_owned() } else { String::new() };
                let end = (number(span.end.line()), number(span.end.col() + 1));
                let mark = if written { self.mark(&span) } else { self.mark_of_nothing(&span) };
                let weight = text.len() + NODE_WEIGHT;
                let content = NodeContent::Scalar(Scalar { text, quoted, end });
                self.add(Rc::new(Node { mark, content, height: 0, weight }), anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", &span);
                self.start(
                    OpenCollection::List(Vec::new()),
                    style == granit_parser::StructureStyle::Block,
                    anchor,
                    &span,
                )
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", &span);
                let map = OpenCollection::Map {
                    entries: Vec::new(),
                    keys: HashMap::new(),
                    merged: Vec::new(),
                    key: PendingKey::Awaited,
                };
                self.start(map, style == granit_parser::StructureStyle::Block, anchor, &span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&span),
            Event::Alias(anchor) => self.alias(anchor, &span),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: &Span) -> Result<(), Fatal> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let help = Some("keep one document and remove `---` with what belongs to the others".into());
        let span = self.mark(span).span("");
        Err(Box::new(problem("several-documents", "the file holds more than one YAML document", help, span)))
    }

    fn start(&mut self, content: OpenCollection, block: bool, anchor: usize, span: &Span) -> Result<(), Fatal> {
        let mark = self.mark(span);
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(mark.span(self.path())));
        }
        self.open.push(Frame { mark, anchor, block, height: 1, weight: NODE_WEIGHT, content });
        Ok(())
    }

    fn end(&mut self, span: &Span) -> Result<(), Fatal> {
        let Some(Frame { mut mark, anchor, block, height, weight, content }) = self.open.pop() else {
            return Ok(());
        };
        if !block {
            let start = granit_parser::Marker::new(0, mark.line as usize, mark.column.saturating_sub(1) as usize);
            mark = self.mark(&Span::new(start, span.end));
        }
        let content = match content {
            OpenCollection::List(items) => NodeContent::List(items),
            OpenCollection::Map { entries, keys, merged, .. } => NodeContent::Map(self.merge(entries, keys, merged)),
        };
        self.add(Rc::new(Node { mark, content, height, weight }), anchor)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<(), Fatal> {
        let span = self.mark(span).span(self.path());
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            let help = Some("write out what it should hold".into());
            return Err(Box::new(problem("alias-bomb", "an alias stands inside of what it names", help, span)));
        };
        if self.open.len() + node.height > MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.copied += node.weight;
        if self.copied > MAX_COPIED {
            let message = "aliases make the document larger than 1 MiB";
            let help = Some("write out what is meant, or split the configuration".into());
            return Err(Box::new(problem("alias-bomb", message, help, span)));
        }
        self.add(node, 0)
    }

    /// Puts a finished node into the collection that is open, or at the root.
    fn add(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), Fatal> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} values");
            let help = Some("a configuration has some hundred: is this the right file?".into());
            return Err(Box::new(problem("too-large", &message, help, node.mark.span(self.path()))));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(frame) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        frame.height = frame.height.max(node.height + 1);
        frame.weight += node.weight;
        match &mut frame.content {
            OpenCollection::List(items) => items.push(node),
            OpenCollection::Map { entries, keys, merged, key } => match std::mem::replace(key, PendingKey::Awaited) {
                PendingKey::Awaited => {
                    if keys.is_empty() && frame.block && frame.mark.line == node.mark.line {
                        frame.mark.width = node.mark.width;
                    }
                    match key_of(&node, keys) {
                        Ok(known) => *key = known,
                        Err(mut problem) => {
                            *key = PendingKey::Unusable;
                            let parent = self.path();
                            problem.span.path = match problem.span.path.as_str() {
                                "" => parent,
                                own => path::child(&parent, own),
                            };
                            (self.report)(*problem);
                        }
                    }
                }
                PendingKey::Known(name, key_mark) => {
                    let value = if is_unwritten(&node) { Rc::new(Node::unwritten(key_mark)) } else { node };
                    entries.push(MappingEntry { key: name, key_mark, value });
                }
                PendingKey::Merge(mark) => merged.push((mark, node)),
                PendingKey::Unusable => {}
            },
        }
        Ok(())
    }

    /// The entries with those that merge keys bring in behind them; a key that is written wins.
    fn merge(
        &mut self,
        mut entries: Vec<MappingEntry>,
        mut keys: HashMap<String, u32>,
        merged: Vec<(Mark, Rc<Node>)>,
    ) -> Vec<MappingEntry> {
        for (mark, source) in merged {
            let sources: Vec<&Node> = match &source.content {
                NodeContent::List(items) => items.iter().map(Rc::as_ref).collect(),
                _ => vec![&source],
            };
            for source in sources {
                let NodeContent::Map(inherited) = &source.content else {
                    let help = Some("write `<<: *name`, where `&name` stands before a mapping".into());
                    let message = "`<<` takes a mapping or a list of mappings";
                    let span = mark.span(path::child(&self.path(), "<<"));
                    (self.report)(problem("invalid-merge", message, help, span));
                    continue;
                };
                for entry in inherited {
                    if let Slot::Vacant(free) = keys.entry(entry.key.clone()) {
                        free.insert(entry.key_mark.line);
                        entries.push(entry.clone());
                    }
                }
            }
        }
        entries
    }

    /// Whether a scalar can only be a text. A tag that is not understood is reported.
    fn is_text(&mut self, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> bool {
        match tag.map(|tag| (tag.core_suffix(), tag)) {
            None => style != ScalarStyle::Plain,
            Some((Some("str"), _)) => true,
            Some((Some("int" | "float" | "bool" | "null"), _)) => false,
            // A lone `!` makes any scalar a text.
            Some((None, tag)) if tag.original() == "!" => true,
            Some((_, tag)) => {
                self.report_tag(tag, span);
                true
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, allowed: &str, span: &Span) {
        if let Some(tag) = tag.filter(|tag| tag.core_suffix() != Some(allowed) && tag.original() != "!") {
            self.report_tag(tag, span);
        }
    }

    fn report_tag(&mut self, tag: &Tag, span: &Span) {
        let mark = span.tag_span().map_or_else(|| self.mark(span), |tag_span| self.mark(&tag_span));
        let original = tag.original();
        let name = original.trim_start_matches('!');
        let bangs = &original[..original.len() - name.len()];
        let message = format!("the tag `{bangs}{}` means nothing here", told_key(name));
        let span = mark.span(self.path());
        (self.report)(problem("unsupported-tag", &message, Some("remove the tag".into()), span));
    }

    /// The mark of a span; of one that goes on over lines, the part on its first line.
    fn mark(&self, span: &Span) -> Mark {
        let (line, from) = (span.start.line(), span.start.col());
        let to = if span.end.line() == line {
            span.end.col()
        } else {
            self.lines.get(line.saturating_sub(1)).map_or(from, |text| text.trim_end().chars().count())
        };
        Mark { line: number(line), column: number(from + 1), width: number(to.saturating_sub(from).max(1)) }
    }

    /// A value that is not written has no place of its own: it stands where its list stands on that line.
    fn mark_of_nothing(&self, span: &Span) -> Mark {
        let (line, from) = (span.start.line(), span.start.col());
        let length = self.lines.get(line.saturating_sub(1)).map_or(0, |text| text.chars().count());
        Mark { line: number(line), column: number(from.min(length.saturating_sub(1)) + 1), width: 1 }
    }

    /// The YAML path of the next node.
    fn path(&self) -> String {
        self.open.iter().fold(String::new(), |parent, frame| match &frame.content {
            OpenCollection::List(items) => path::item(&parent, items.len()),
            OpenCollection::Map { key: PendingKey::Known(name, _), .. } => path::child(&parent, name),
            OpenCollection::Map { key: PendingKey::Merge(_), .. } => path::child(&parent, "<<"),
            OpenCollection::Map { .. } => parent,
        })
    }
}

/// What a node in the place of a key says about the entry.
fn key_of(node: &Node, keys: &mut HashMap<String, u32>) -> Result<PendingKey, Fatal> {
    let NodeContent::Scalar(scalar) = &node.content else {
        let message = "a key must be a plain word, not a list or a mapping";
        let help = "if `{{` belongs to a template, it was not rendered".to_owned();
        return Err(Box::new(problem("wrong-type", message, Some(help), node.mark.span(""))));
    };
    if let Some(line) = keys.insert(scalar.text.clone(), node.mark.line) {
        let message = format!("the key `{}` is there twice, first on line {line}", told_key(&scalar.text));
        let span = node.mark.span(scalar.text.as_str());
        return Err(Box::new(problem("duplicate-key", &message, Some("keep one of them".into()), span)));
    }
    if scalar.text == "<<" && !scalar.quoted {
        return Ok(PendingKey::Merge(node.mark));
    }
    Ok(PendingKey::Known(scalar.text.clone(), node.mark))
}

fn is_unwritten(node: &Node) -> bool {
    matches!(&node.content, NodeContent::Scalar(scalar) if scalar.text.is_empty() && !scalar.quoted)
}

fn too_deep(span: SourceSpan) -> Fatal {
    let message = format!("more than {MAX_DEPTH} levels of nesting");
    Box::new(problem("too-deep", &message, Some("no key needs that many: is this the right file?".into()), span))
}

fn problem(code: &'static str, message: &str, help: Option<String>, span: SourceSpan) -> Problem {
    Problem { severity: Severity::Error, code, message: message.into(), help, span }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line, or the problems.
    fn parsed(text: &str) -> String {
        let mut problems = Vec::new();
        let root = parse(text, &mut |problem| problems.push(problem));
        let problem = |p: &Problem| format!("{} {}:{} {}", p.code, p.span.line, p.span.column, p.span.path);
        match (root, problems.is_empty()) {
            (Some(root), true) => written(&root),
            _ => problems.iter().map(problem).collect::<Vec<_>>().join("; "),
        }
    }

    fn written(node: &Node) -> String {
        let Mark { line, column, width } = node.mark;
        match &node.content {
            NodeContent::Scalar(scalar) if scalar.quoted => format!("{:?}@{line}:{column}+{width}", scalar.text),
            NodeContent::Scalar(scalar) => format!("{}@{line}:{column}+{width}", scalar.text),
            NodeContent::List(items) => {
                let items: Vec<_> = items.iter().map(|item| written(item)).collect();
                format!("[{}]@{line}:{column}+{width}", items.join(" "))
            }
            NodeContent::Map(entries) => {
                let entry = |e: &MappingEntry| {
                    format!("{}@{}:{} {}", e.key, e.key_mark.line, e.key_mark.column, written(&e.value))
                };
                format!("{{{}}}@{line}:{column}+{width}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[test]
    fn every_node_knows_where_it_stands() {
        assert_eq!(parsed("a: 1"), "{a@1:1 1@1:4+1}@1:1+1");
        assert_eq!(
            parsed("checks:\n  - name: x\n    y: {p: \"é\", q: [1]}\r\n  - |\n    z\n"),
            "{checks@1:1 [{name@2:5 x@2:11+1, y@3:5 {p@3:9 \"é\"@3:12+3, q@3:17 [1@3:21+1]@3:20+3}@3:8+16}@2:5+4 \"z\\n\"@5:5+1]@2:3+1}@1:1+6"
        );
        assert_eq!(parsed("a:\nb: ~\nc:\n-\n- x"), "{a@1:1 @1:1+1, b@2:1 ~@2:4+1, c@3:1 [@4:1+1 x@5:3+1]@4:2+1}@1:1+1");
        assert_eq!(parsed("a: \"x\n  y\""), "{a@1:1 \"x y\"@1:4+2}@1:1+1");
        assert_eq!(parsed("!!str 5"), "\"5\"@1:7+1");
        assert_eq!(parsed("a: ! 5"), "{a@1:1 \"5\"@1:6+1}@1:1+1");
    }

    #[test]
    fn aliases_and_merge_keys_bring_in_what_they_name() {
        assert_eq!(parsed("a: &x {p: 1}\nb: *x"), "{a@1:1 {p@1:8 1@1:11+1}@1:7+6, b@2:1 {p@1:8 1@1:11+1}@1:7+6}@1:1+1");
        assert_eq!(
            parsed("a: &x {p: 1, q: 2}\nb: {q: 3, <<: *x}"),
            "{a@1:1 {p@1:8 1@1:11+1, q@1:14 2@1:17+1}@1:7+12, b@2:1 {q@2:5 3@2:8+1, p@1:8 1@1:11+1}@2:4+14}@1:1+1"
        );
        assert_eq!(parsed("a: {<<: 5}"), "invalid-merge 1:5 a[\"<<\"]");
    }

    #[test]
    fn what_is_no_single_document_of_plain_keys_is_refused() {
        let cases = [
            ("", "empty-document 1:1 "),
            ("# comment\n", "empty-document 1:1 "),
            ("---\n...\n", "empty-document 1:1 "),
            ("{}", "empty-document 1:1 "),
            ("null", "empty-document 1:1 "),
            ("a: 1\n---\nb: 2", "several-documents 2:1 "),
            ("a: 1\nb: {c: 1, c: 2}", "duplicate-key 2:11 b.c"),
            ("a: 1\na: 2\na: 3", "duplicate-key 2:1 a; duplicate-key 3:1 a"),
            ("a: {{ .Values.x }}", "wrong-type 1:5 a"),
            (
                "a: [!foo 1, !!binary 2, !!map [3]]",
                "unsupported-tag 1:5 a[0]; unsupported-tag 1:13 a[1]; unsupported-tag 1:25 a[2]",
            ),
            ("a: *x", "syntax 1:4 "),
            ("a: &x [*x]", "alias-bomb 1:8 a[0]"),
            ("a: [1", "syntax 1:4 "),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nesting_ends_at_64_levels() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parsed(&nested(64)).starts_with("[[["));
        assert_eq!(parsed(&nested(65)), format!("too-deep 1:65 {}", "[0]".repeat(64)));
        let block = |levels: usize| (0..levels).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
        assert!(parsed(&block(64)).starts_with("{a@"));
        assert!(parsed(&block(65)).starts_with("too-deep 65:65 a.a."));
        let through_aliases = format!("a: &x {}\nb: {}*x{}", nested(40), "[".repeat(23), "]".repeat(23));
        assert!(parsed(&through_aliases).starts_with('{'));
        let through_aliases = format!("a: &x {}\nb: {}*x{}", nested(40), "[".repeat(24), "]".repeat(24));
        assert!(parsed(&through_aliases).starts_with("too-deep 2:28 b[0]"));
        assert!(parsed(&"[".repeat(100_000)).starts_with("too-deep"));
    }

    #[test]
    fn aliases_cannot_blow_the_document_up() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..20 {
            let before = level - 1;
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(","));
        }
        assert_eq!(parsed(&bomb), "alias-bomb 5:26 a4[4]");
        let long = format!("a: &a {}\nb: [*a, *a, *a]", "x".repeat(500_000));
        assert_eq!(parsed(&long), "alias-bomb 2:13 b[2]");
    }

    #[test]
    fn a_document_of_countless_values_is_refused() {
        assert!(parsed(&format!("[{}]", "x,".repeat(200_000))).starts_with("too-large 1:"));
    }
}
