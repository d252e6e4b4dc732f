//! Text in lines of 80 columns.

/// How wide a line is at most, unless a single word is wider.
pub const WIDTH: usize = 80;

/// `text` behind `first`, broken between words; every further line begins with `indent` blanks.
pub fn wrapped(first: &str, text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let blank = usize::from(!empty);
        if !empty && line.chars().count() + blank + word.chars().count() > WIDTH {
            lines += line.trim_end();
            lines.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    lines += line.trim_end();
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "a ".repeat(50);
        let lines = wrapped("warning: ", &text, 2);
        assert_eq!(lines.lines().map(str::len).collect::<Vec<_>>(), [80, 29]);
        assert_eq!(wrapped("  ", &"x".repeat(100), 2).lines().count(), 1);
        assert_eq!(wrapped("head", "", 2), "head\n");
    }
}
