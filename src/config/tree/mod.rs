//! YAML text as a tree of nodes with marks, within bounds: no input makes it hang, recurse deeply or grow.
//!
//! Scalars stay as they are written: what a `5` means is for the reader to say, who knows what is wanted. Aliases share
//! the node they name; how much they add to a walk over the tree is bounded.

mod builder;
mod node;

use std::rc::Rc;

use granit_parser::Parser;

use self::builder::{Builder, problem};
use self::node::NODE_WEIGHT;
pub use self::node::{MappingEntry, Mark, Node, NodeContent, Scalar};
use super::syntax::{self, MAX_DEPTH};
use crate::base::value::Problem;

/// The one document in `text`. Problems go to `report`; without a usable document there is one at least.
pub fn parse<'t>(text: &'t str, report: &mut dyn FnMut(Problem)) -> Option<Rc<Node<'t>>> {
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
pub fn parse_default(text: &'static str, mark: Mark) -> Node<'static> {
    let parsed = || parse(text, &mut |_| {}).and_then(|root| Rc::try_unwrap(root).ok());
    let content = match text {
        "[]" => NodeContent::List(Vec::new()),
        _ => parsed().map_or_else(|| NodeContent::Map(Vec::new()), |root| root.content),
    };
    Node { mark, content, height: 0, weight: NODE_WEIGHT }
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
