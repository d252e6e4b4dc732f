//! A string value: its parts after expansion, and how it is written in the file.

use std::fmt;

use crate::base::secret::Secret;

/// A string value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The parts, in order.
    pub parts: Vec<TextPart>,
    /// As in the file, expansions unexpanded. It may hold a password in plain text.
    pub written: String,
}

/// A piece of a [`Text`].
#[derive(Clone, PartialEq, Eq)]
pub enum TextPart {
    /// As it stands in the file.
    Plain(String),
    /// What an environment variable or a file brought in.
    Expanded(Secret),
    /// A value that a workflow step captures at run time.
    Capture {
        /// The step.
        step: String,
        /// The name it captured.
        name: String,
    },
}

impl Text {
    /// A text without expansions.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        let written = text.into();
        Self { parts: vec![TextPart::Plain(written.clone())], written }
    }

    /// The text, or nothing when a part is only known at run time.
    #[must_use]
    pub fn fixed(&self) -> Option<String> {
        self.render(|_, _| Err(())).ok()
    }

    /// The text, where all of it stands in the file as one piece.
    #[must_use]
    pub fn whole(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [TextPart::Plain(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether an expansion brought something in, so that the text is a secret in a section of a kind.
    #[must_use]
    pub fn is_expanded(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, TextPart::Expanded(_)))
    }

    /// The captured values that the text uses, as step and name.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Capture { step, name } => Some((step.as_str(), name.as_str())),
            _ => None,
        })
    }

    /// The text with each captured value replaced by what `captured` gives for its step and name.
    ///
    /// # Errors
    /// The first error of `captured`.
    pub fn render<E>(&self, mut captured: impl FnMut(&str, &str) -> Result<String, E>) -> Result<String, E> {
        if let Some(whole) = self.whole() {
            return Ok(whole.to_owned());
        }
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                TextPart::Plain(text) => rendered.push_str(text),
                TextPart::Expanded(secret) => rendered.push_str(secret.expose()),
                TextPart::Capture { step, name } => rendered.push_str(&captured(step, name)?),
            }
        }
        Ok(rendered)
    }
}

/// Shows nothing of the text: it may hold a password.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: Vec<TextPart>) -> Text {
        Text { parts, written: String::new() }
    }

    #[test]
    fn a_text_is_rendered_from_its_parts() {
        let template = text(vec![
            TextPart::Plain("/orders/".into()),
            TextPart::Capture { step: "order".into(), name: "id".into() },
            TextPart::Expanded(Secret::new("?k=v")),
        ]);
        assert_eq!(template.fixed(), None);
        assert_eq!(
            template.render(|step, name| Ok::<_, ()>(format!("{step}.{name}"))).unwrap(),
            "/orders/order.id?k=v"
        );
        assert!(template.is_expanded());
        assert_eq!(template.captures().collect::<Vec<_>>(), [("order", "id")]);
    }

    #[test]
    fn a_text_shows_nothing_when_formatted() {
        assert_eq!(format!("{:?}", Text::plain("postgres://u:hunter2@db")), "Text(***)");
    }
}
