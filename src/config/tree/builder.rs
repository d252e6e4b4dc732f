//! Builds the tree from the events of the parser, within bounds.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, ScalarStyle, Span, Tag};

use super::node::{MappingEntry, Mark, NODE_WEIGHT, Node, NodeContent, Scalar};
use crate::base::value::{Problem, Severity, SourceSpan};
use crate::config::quote::told_key;
use crate::config::syntax::MAX_DEPTH;
use crate::config::text;
use crate::config::{ahead, path};

/// The most nodes of a document.
const MAX_NODES: usize = 100_000;

/// What aliases may add to a document, in bytes of text plus [`NODE_WEIGHT`] a node.
const MAX_COPIED: usize = 1 << 20;

/// So many nodes take about as much as is taken ahead.
const NODES_AHEAD: usize = 512;

/// Stops the parsing.
type Fatal = Box<Problem>;

pub(super) struct Builder<'t, 'r> {
    text: &'t str,
    /// Asked for only where a value goes on over lines, or is not written.
    lines: OnceCell<Vec<&'t str>>,
    pub(super) report: &'r mut dyn FnMut(Problem),
    open: Vec<Frame<'t>>,
    /// Room in which the entries of a mapping are collected. A finished one has no more than it needs: it waits for the
    /// end of the document beside all others.
    room: Vec<Vec<MappingEntry<'t>>>,
    pub(super) root: Option<Rc<Node<'t>>>,
    anchors: HashMap<usize, Rc<Node<'t>>>,
    nodes: usize,
    copied: usize,
    documents: usize,
}

/// A list or mapping whose end has not come yet.
struct Frame<'t> {
    mark: Mark,
    anchor: usize,
    /// The first child sets the width of a collection in block style.
    block: bool,
    height: usize,
    weight: usize,
    content: OpenCollection<'t>,
}

enum OpenCollection<'t> {
    List(Vec<Rc<Node<'t>>>),
    Map(OpenMap<'t>),
}

/// A mapping whose end has not come yet.
struct OpenMap<'t> {
    entries: Vec<MappingEntry<'t>>,
    /// The line of each key, where they are more than [`FEW`].
    lines: HashMap<Cow<'t, str>, u32>,
    merged: Vec<(Mark, Rc<Node<'t>>)>,
    key: PendingKey<'t>,
}

/// So many keys are compared one by one: nearly every mapping has fewer, and a table takes longer.
const FEW: usize = 16;

impl<'t> OpenMap<'t> {
    fn new(entries: Vec<MappingEntry<'t>>) -> Self {
        Self { entries, lines: HashMap::new(), merged: Vec::new(), key: PendingKey::Awaited }
    }

    /// The line on which a key stands first.
    fn line_of(&self, key: &str) -> Option<u32> {
        let merge = self.merged.first().filter(|_| key == "<<").map(|(mark, _)| mark.line);
        let among_few = || self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_mark.line);
        let known = || if self.lines.is_empty() { among_few() } else { self.lines.get(key).copied() };
        merge.or_else(known)
    }

    fn push(&mut self, entry: MappingEntry<'t>) {
        self.entries.push(entry);
        if self.entries.len() > FEW {
            let from = if self.lines.is_empty() { 0 } else { self.entries.len() - 1 };
            self.lines.extend(self.entries[from..].iter().map(|entry| (entry.key.clone(), entry.key_mark.line)));
        }
    }
}

/// What is known of the next entry of a mapping.
enum PendingKey<'t> {
    /// The next node is a key.
    Awaited,
    /// The next node is the value of this key.
    Known(Cow<'t, str>, Mark),
    /// The next node is merged into the mapping.
    Merge(Mark),
    /// The next node is the value of a key that has been reported.
    Unusable,
}

impl<'t, 'r> Builder<'t, 'r> {
    pub(super) fn new(text: &'t str, report: &'r mut dyn FnMut(Problem)) -> Self {
        Self {
            text,
            lines: OnceCell::new(),
            report,
            open: Vec::new(),
            room: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            copied: 0,
            documents: 0,
        }
    }

    pub(super) fn event(&mut self, event: Event<'t>, span: Span) -> Result<(), Fatal> {
        match event {
            Event::DocumentStart(..) => self.document(&span),
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.is_text(style, tag.as_deref(), &span);
                // A value that is not written is a `~` without a width.
                let written = span.start != span.end || style != ScalarStyle::Plain;
                let text = if written { text } else { Cow::default() };
                let end = (number(span.end.line()), number(span.end.col() + 1));
                let mark = if written { self.mark(&span) } else { self.mark_of_nothing(&span) };
                let weight = text.len() + NODE_WEIGHT;
                let content = NodeContent::Scalar(Scalar { text, quoted, end });
                self.add(Found::New(Node { mark, content, height: 0, weight }), anchor)
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
                let map = OpenCollection::Map(OpenMap::new(self.room.pop().unwrap_or_default()));
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

    fn start(&mut self, content: OpenCollection<'t>, block: bool, anchor: usize, span: &Span) -> Result<(), Fatal> {
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
            OpenCollection::Map(map) => NodeContent::Map(self.merged(map)),
        };
        self.add(Found::New(Node { mark, content, height, weight }), anchor)
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
        self.add(Found::Known(node), 0)
    }

    /// Puts a finished node into the collection that is open, or at the root.
    fn add(&mut self, mut found: Found<'t>, anchor: usize) -> Result<(), Fatal> {
        self.nodes += 1;
        if self.nodes.is_multiple_of(NODES_AHEAD) {
            ahead::take_room();
        }
        let node = found.node();
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} values");
            let help = "is this the right file? A configuration has some hundred, and says once, in `defaults`, what checks share";
            return Err(Box::new(problem("too-large", &message, Some(help.into()), node.mark.span(self.path()))));
        }
        let (mark, height, weight) = (node.mark, node.height, node.weight);
        if anchor != 0 {
            let node = found.into_shared();
            self.anchors.insert(anchor, Rc::clone(&node));
            found = Found::Known(node);
        }
        let Some(frame) = self.open.last_mut() else {
            self.root.get_or_insert_with(|| found.into_shared());
            return Ok(());
        };
        frame.height = frame.height.max(height + 1);
        frame.weight += weight;
        match &mut frame.content {
            OpenCollection::List(items) => items.push(found.into_shared()),
            OpenCollection::Map(map) => match std::mem::replace(&mut map.key, PendingKey::Awaited) {
                PendingKey::Awaited => {
                    let is_first = map.entries.is_empty() && map.merged.is_empty();
                    if is_first && frame.block && frame.mark.line == mark.line {
                        frame.mark.width = mark.width;
                    }
                    match key_of(found, map) {
                        Ok(known) => map.key = known,
                        Err(mut problem) => {
                            map.key = PendingKey::Unusable;
                            let parent = self.path();
                            problem.span.path = match problem.span.path.text().as_str() {
                                "" => parent.into(),
                                own => path::child(&parent, own).into(),
                            };
                            (self.report)(*problem);
                        }
                    }
                }
                PendingKey::Known(name, key_mark) => {
                    let is_unwritten = is_unwritten(found.node());
                    let value = if is_unwritten { Rc::new(Node::unwritten(key_mark)) } else { found.into_shared() };
                    map.push(MappingEntry { key: name, key_mark, value });
                }
                PendingKey::Merge(mark) => map.merged.push((mark, found.into_shared())),
                PendingKey::Unusable => {}
            },
        }
        Ok(())
    }

    /// The entries with those that merge keys bring in behind them; a key that is written wins.
    fn merged(&mut self, mut map: OpenMap<'t>) -> Vec<MappingEntry<'t>> {
        for (mark, source) in map.merged.clone() {
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
                    if map.line_of(&entry.key).is_none() {
                        map.push(entry.clone());
                    }
                }
            }
        }
        let entries = map.entries.drain(..).collect();
        self.room.push(map.entries);
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

    /// The line of this number, counted from 1.
    fn line(&self, number: usize) -> Option<&'t str> {
        self.lines.get_or_init(|| text::lines(self.text).collect()).get(number.saturating_sub(1)).copied()
    }

    /// The mark of a span; of one that goes on over lines, the part on its first line.
    fn mark(&self, span: &Span) -> Mark {
        let (line, from) = (span.start.line(), span.start.col());
        let to = if span.end.line() == line {
            span.end.col()
        } else {
            self.line(line).map_or(from, |text| text.trim_end().chars().count())
        };
        Mark { line: number(line), column: number(from + 1), width: number(to.saturating_sub(from).max(1)) }
    }

    /// A value that is not written has no place of its own: it stands where its list stands on that line.
    fn mark_of_nothing(&self, span: &Span) -> Mark {
        let (line, from) = (span.start.line(), span.start.col());
        let length = self.line(line).map_or(0, |text| text.chars().count());
        Mark { line: number(line), column: number(from.min(length.saturating_sub(1)) + 1), width: 1 }
    }

    /// The YAML path of the next node.
    fn path(&self) -> String {
        self.open.iter().fold(String::new(), |parent, frame| match &frame.content {
            OpenCollection::List(items) => path::item(&parent, items.len()),
            OpenCollection::Map(OpenMap { key: PendingKey::Known(name, _), .. }) => path::child(&parent, name),
            OpenCollection::Map(OpenMap { key: PendingKey::Merge(_), .. }) => path::child(&parent, "<<"),
            OpenCollection::Map(_) => parent,
        })
    }
}

/// A node whose place is not known yet. Half of all are keys, of which no more than the text is kept.
enum Found<'t> {
    New(Node<'t>),
    /// An alias or an anchor has it as well.
    Known(Rc<Node<'t>>),
}

impl<'t> Found<'t> {
    fn node(&self) -> &Node<'t> {
        match self {
            Self::New(node) => node,
            Self::Known(node) => node,
        }
    }

    fn into_shared(self) -> Rc<Node<'t>> {
        match self {
            Self::New(node) => Rc::new(node),
            Self::Known(node) => node,
        }
    }

    /// The text of a scalar.
    fn into_text(self) -> Option<Cow<'t, str>> {
        match self {
            Self::New(Node { content: NodeContent::Scalar(scalar), .. }) => Some(scalar.text),
            Self::New(_) => None,
            Self::Known(node) => match &node.content {
                NodeContent::Scalar(scalar) => Some(scalar.text.clone()),
                NodeContent::List(_) | NodeContent::Map(_) => None,
            },
        }
    }
}

/// What a node in the place of a key says about the entry.
fn key_of<'t>(found: Found<'t>, map: &OpenMap<'t>) -> Result<PendingKey<'t>, Fatal> {
    let mark = found.node().mark;
    let NodeContent::Scalar(scalar) = &found.node().content else {
        let message = "a key must be a plain word, not a list or a mapping";
        let help = "if `{{` belongs to a template, it was not rendered".to_owned();
        return Err(Box::new(problem("wrong-type", message, Some(help), mark.span(""))));
    };
    if let Some(line) = map.line_of(&scalar.text) {
        let message = format!("the key `{}` is there twice, first on line {line}", told_key(&scalar.text));
        let span = mark.span(&*scalar.text);
        return Err(Box::new(problem("duplicate-key", &message, Some("keep one of them".into()), span)));
    }
    if scalar.text == "<<" && !scalar.quoted {
        return Ok(PendingKey::Merge(mark));
    }
    Ok(PendingKey::Known(found.into_text().unwrap_or_default(), mark))
}

fn is_unwritten(node: &Node) -> bool {
    matches!(&node.content, NodeContent::Scalar(scalar) if scalar.text.is_empty() && !scalar.quoted)
}

fn too_deep(span: SourceSpan) -> Fatal {
    let message = format!("more than {MAX_DEPTH} levels of nesting");
    Box::new(problem("too-deep", &message, Some("no key needs that many: is this the right file?".into()), span))
}

pub(super) fn problem(code: &'static str, message: &str, help: Option<String>, span: SourceSpan) -> Problem {
    Problem { severity: Severity::Error, code, message: message.into(), help, span }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
