//! What holds for every text that stands for a quantity, a name or an address.

use std::time::Duration;

use probelet::base::name::CheckName;
use probelet::base::quantity::{QuantityError, parse_duration, parse_share, parse_size, show_duration, show_size};
use probelet::base::redact::target;
use probelet::model::outcome::one_line;

use super::lines::{SECRET, is_line};

/// A text is read the same way as it is shown, a hint is never wrong, and what a URL holds behind a user stays there.
/// The first byte says where in the text a password is put.
pub fn any_text(bytes: &[u8]) {
    let [place, text @ ..] = bytes else { return };
    let text = String::from_utf8_lossy(text);
    is_line(&one_line(&text), 200);
    assert_eq!(one_line(&one_line(&text)), one_line(&text), "one line of one line is another");

    if let Ok(duration) = read(parse_duration(&text), parse_duration) {
        let shown = parse_duration(&show_duration(duration)).expect("what is shown can be read");
        let (shown, exact) = (shown.as_secs_f64(), duration.as_secs_f64());
        // Two units are shown, of which the smaller one is at most a seventh of the larger.
        assert!(shown <= exact && exact - shown <= (exact / 7.0).max(0.001), "{text:?} is shown as {shown} s");
        assert!(duration <= Duration::from_secs(1000 * 366 * 86_400), "{text:?}");
    }
    if let Ok(size) = read(parse_size(&text), parse_size) {
        // With one decimal, and a unit in a row of its own.
        let shown = parse_size(&show_size(size)).expect("what is shown can be read");
        assert!(shown.abs_diff(size) <= size / 20 + 1, "{text:?} is shown as {shown} bytes");
    }
    if let Ok(share) = read(parse_share(&text), parse_share) {
        assert!((0.0..=1.0).contains(&share), "{text:?} is {share}");
    }
    if let Ok(name) = CheckName::new(&text) {
        assert_eq!(name.as_str(), text);
        is_line(&text, 200);
        assert!(!text.contains(['\n', '"', '\\', '?', '#', '%']), "{text:?} would have to be escaped");
    }

    shows_no_password(usize::from(*place), &text);
}

/// A hint of what to write instead can be read.
fn read<T>(parsed: Result<T, QuantityError>, again: impl Fn(&str) -> Result<T, QuantityError>) -> Result<T, ()> {
    parsed.map_err(|error| {
        is_line(&one_line(&error.message), 200);
        if let Some(hint) = error.suggestion {
            assert!(again(&hint).is_ok(), "the hint {hint:?} is wrong as well");
        }
    })
}

/// Whatever surrounds it, a password in a URL is not shown, unless the text spells it out elsewhere.
fn shows_no_password(place: usize, text: &str) {
    if text.contains(SECRET) {
        return;
    }
    let cut = text.char_indices().map(|(index, _)| index).nth(place).unwrap_or(0);
    let (user, host) = text.split_at(cut);
    // Where a user ends is not to be guessed inside of an expansion, or behind the host.
    if user.contains(['/', '\\', '?', '#', '$', '{', '}', '@']) {
        return;
    }
    for scheme in ["postgres", "https", "amqp"] {
        let written = format!("{scheme}://{user}:{SECRET}@{host}");
        assert!(!target(&written).contains(SECRET), "{written:?} is shown as {:?}", target(&written));
    }
}
