//! How a node of a YAML document is looked into by whoever knows its keys, and how a file is cut into documents.

use std::rc::Rc;

use super::text;
use super::tree::{Node, NodeContent};

/// The documents of `text`, each with the number of lines before it. A line that starts with `---` always begins one.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = (u32, String)> {
    let begins =
        |line: &str| line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
    let mut lines = (0u32..).zip(text::lines(text)).peekable();
    std::iter::from_fn(move || {
        let (first, line) = lines.next()?;
        let mut document = format!("{line}\n");
        while let Some((_, line)) = lines.next_if(|(_, line)| !begins(line)) {
            document += line;
            document.push('\n');
        }
        Some((first, document))
    })
}

/// The value of `key`, where `node` is a mapping that has it.
pub(crate) fn child<'n, 't>(node: &'n Node<'t>, key: &str) -> Option<&'n Node<'t>> {
    let NodeContent::Map(entries) = &node.content else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &*entry.value)
}

/// The items of a list; none where there is no list.
pub(crate) fn items<'n, 't>(node: Option<&'n Node<'t>>) -> impl Iterator<Item = &'n Rc<Node<'t>>> {
    let items: &[Rc<Node>] = match node.map(|node| &node.content) {
        Some(NodeContent::List(items)) => items,
        _ => &[],
    };
    items.iter()
}

/// The text of a scalar that holds something.
pub(crate) fn written<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.content {
        NodeContent::Scalar(scalar) if !node.is_null() => Some(&scalar.text),
        _ => None,
    }
}
