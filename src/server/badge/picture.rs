//! Draws a badge: an SVG that needs nothing else, and that a screen reader reads as one sentence.
//!
//! There are no references within it, so that several of them can stand in one page. The texts are drawn to the width
//! that was reckoned with, whatever font there is.

use std::fmt::Write;

use super::width;

const HEIGHT: u32 = 20;
/// The size of the font.
const SIZE: u32 = 11;
/// Between a text and the end of its field.
const MARGIN: u32 = 6;
/// The radius of the corners.
const ROUND: u32 = 3;
/// Behind the label.
const DARK: &str = "#444c56";

/// What stands behind a word. It is read in white, so all of them are dark enough for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are colours
pub(super) enum Colour {
    Green,
    Amber,
    Red,
    Blue,
    Purple,
    Grey,
}

impl Colour {
    const fn code(self) -> &'static str {
        match self {
            Self::Green => "#1a7f37",
            Self::Amber => "#9a6700",
            Self::Red => "#cf222e",
            Self::Blue => "#0969da",
            Self::Purple => "#8250df",
            Self::Grey => "#66707b",
        }
    }
}

/// A badge: a label on the left, a word on the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Badge {
    /// What it is about, for those who do not see it without a label.
    pub(super) subject: String,
    /// On the left; nothing when empty.
    pub(super) label: String,
    /// On the right.
    pub(super) word: String,
    /// What there is to say beyond the word.
    pub(super) more: String,
    /// Behind the word.
    pub(super) colour: Colour,
}

impl Badge {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let left = if self.label.is_empty() { 0 } else { field(&self.label) };
        let (right, colour) = (field(&self.word), self.colour.code());
        let width = left + right;
        let about = if self.label.is_empty() { &self.subject } else { &self.label };
        let title = escaped(&format!("{about}: {}{}", self.word, self.more));
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>"#
        );
        // The right field lies over the end of the left one, so that no line shows between them.
        let _ = write!(svg, r#"<rect width="{width}" height="{HEIGHT}" rx="{ROUND}" fill="{colour}"/>"#);
        if left > 0 {
            let straight = left - ROUND;
            let _ = write!(
                svg,
                r#"<path fill="{DARK}" d="M{left} 0v{HEIGHT}h-{straight}a{ROUND} {ROUND} 0 0 1-{ROUND}-{ROUND}v-{side}a{ROUND} {ROUND} 0 0 1 {ROUND}-{ROUND}z"/>"#,
                side = HEIGHT - 2 * ROUND
            );
        }
        let _ = write!(
            svg,
            r##"<g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="{SIZE}" text-rendering="geometricPrecision" aria-hidden="true">"##
        );
        if left > 0 {
            text(&mut svg, &self.label, 0);
        }
        text(&mut svg, &self.word, left);
        svg.push_str("</g></svg>\n");
        svg
    }
}

/// The width of the field of a text.
fn field(text: &str) -> u32 {
    width::of(text, SIZE).max(1) + 2 * MARGIN
}

/// Draws a text into its field, which begins at `x`.
fn text(svg: &mut String, text: &str, x: u32) {
    let (x, width, text) = (x + MARGIN, width::of(text, SIZE).max(1), escaped(text));
    let _ = write!(svg, r#"<text x="{x}" y="14" textLength="{width}" lengthAdjust="spacingAndGlyphs">{text}</text>"#);
}

/// The text as it may stand in XML, also within quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn badge(label: &str) -> Badge {
        Badge {
            subject: "db".into(),
            label: label.into(),
            word: "ok".into(),
            more: String::new(),
            colour: Colour::Green,
        }
    }

    #[test]
    fn a_badge_has_a_label_on_the_left_and_a_word_on_the_right() {
        assert_eq!(
            badge("db").svg(),
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="52" height="20" viewBox="0 0 52 20" role="img" "#,
                r#"aria-label="db: ok"><title>db: ok</title>"#,
                r##"<rect width="52" height="20" rx="3" fill="#1a7f37"/>"##,
                r##"<path fill="#444c56" d="M26 0v20h-23a3 3 0 0 1-3-3v-14a3 3 0 0 1 3-3z"/>"##,
                r##"<g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11" "##,
                r#"text-rendering="geometricPrecision" aria-hidden="true">"#,
                r#"<text x="6" y="14" textLength="14" lengthAdjust="spacingAndGlyphs">db</text>"#,
                r#"<text x="32" y="14" textLength="14" lengthAdjust="spacingAndGlyphs">ok</text></g></svg>"#,
                "\n"
            )
        );
    }

    #[test]
    fn without_a_label_the_word_stands_alone_and_its_subject_is_still_said() {
        let svg = badge("").svg();
        assert!(svg.contains(r#"width="26""#) && svg.contains("<title>db: ok</title>"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 1, "{svg}");
    }

    #[test]
    fn no_label_is_taken_for_markup() {
        let svg = badge(r#"</title><script>alert("1")</script>&'"#).svg();
        assert_eq!(svg.matches("&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;").count(), 3);
        assert!(!svg.contains("<script"), "{svg}");
    }

    /// How bright a colour is, as WCAG 2 reckons it.
    fn luminance(code: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&code[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn white_text_is_read_on_every_colour() {
        use Colour::{Amber, Blue, Green, Grey, Purple, Red};
        for code in [Green, Amber, Red, Blue, Purple, Grey].map(Colour::code).into_iter().chain([DARK]) {
            let contrast = 1.05 / (luminance(code) + 0.05);
            assert!(contrast >= 4.5, "{code} has a contrast of {contrast:.2}");
        }
    }
}
