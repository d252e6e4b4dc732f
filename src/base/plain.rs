//! Characters that are what they look like: whoever reads a log or a terminal is not to be misled by what others sent.

use std::borrow::Cow;

/// Whether `character` is shown as itself: no control character (which may begin an escape sequence), nothing that
/// turns the direction of writing, no line break of Unicode, nothing that is not seen.
#[must_use]
pub fn is_plain(character: char) -> bool {
    !(character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

/// `text` with U+FFFD for every character that is not plain.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        text.into()
    } else {
        text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_is_replaced_and_every_script_stays() {
        for hostile in [
            "\u{202e}", "\u{2066}", "\u{200f}", "\u{61c}", "\u{200b}", "\u{2028}", "\u{1b}", "\u{9b}", "\n", "\u{feff}",
        ] {
            assert_eq!(plain(&format!("a{hostile}b")), "a\u{fffd}b", "{hostile:?}");
        }
        for text in ["plain", "é 名 שלום مرحبا 👍", "a\u{a0}b"] {
            assert_eq!(plain(text), text);
        }
    }
}
