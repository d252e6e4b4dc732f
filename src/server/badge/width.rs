//! How wide a text is in the font of a badge, without having the font.

/// Widths of the characters from space to tilde in Verdana, in thousandths of the font's size.
const VERDANA: [u16; 95] = [
    352, 394, 459, 818, 636, 1076, 727, 269, 454, 454, 636, 818, 364, 454, 364, 454, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 454, 454, 818, 818, 818, 545, 1000, 684, 686, 698, 771, 632, 575, 775, 751, 421, 455, 693, 557, 843,
    748, 787, 603, 787, 695, 684, 616, 732, 684, 989, 685, 615, 685, 454, 454, 454, 818, 636, 636, 601, 623, 521, 623,
    596, 352, 623, 633, 274, 344, 592, 274, 973, 633, 607, 623, 623, 427, 521, 394, 633, 592, 818, 592, 592, 525, 635,
    454, 635, 818,
];

/// Characters that stand on those before them, or are not seen at all.
const NOTHING: [(char, char); 16] = [
    ('\u{300}', '\u{36f}'),
    ('\u{483}', '\u{489}'),
    ('\u{591}', '\u{5bd}'),
    ('\u{610}', '\u{61a}'),
    ('\u{64b}', '\u{65f}'),
    ('\u{900}', '\u{902}'),
    ('\u{e31}', '\u{e31}'),
    ('\u{e34}', '\u{e3a}'),
    ('\u{e47}', '\u{e4e}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{200b}', '\u{200d}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{1f3fb}', '\u{1f3ff}'),
    ('\u{e0020}', '\u{e01ef}'),
];

/// Characters as wide as they are high: the scripts of East Asia.
const SQUARE: [(char, char); 9] = [
    ('\u{1100}', '\u{115f}'),
    ('\u{2e80}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff01}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{20000}', '\u{3fffd}'),
];

/// Pictures.
const PICTURES: [(char, char); 3] = [('\u{2600}', '\u{27bf}'), ('\u{2b00}', '\u{2bff}'), ('\u{1f000}', '\u{1faff}')];

/// The width of `text` in pixels at a font's size of `size` pixels.
pub(super) fn of(text: &str, size: u32) -> u32 {
    let thousandths: u32 = text.chars().map(of_char).sum();
    (thousandths * size).div_ceil(1000)
}

fn of_char(character: char) -> u32 {
    let is_in = |ranges: &[(char, char)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&character));
    match character {
        ' '..='~' => VERDANA[character as usize - ' ' as usize].into(),
        _ if is_in(&NOTHING) => 0,
        _ if is_in(&SQUARE) => 1000,
        _ if is_in(&PICTURES) => 1250,
        _ if character.is_uppercase() => 740,
        _ => 640,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_wide_as_its_characters() {
        assert_eq!(of("", 11), 0);
        assert_eq!(of("iiii", 11), 13);
        assert_eq!(of("WWWW", 11), 44);
        assert_eq!(of("db_connection", 11), 81);
    }

    #[test]
    fn other_scripts_are_not_taken_for_latin() {
        assert_eq!(of("数据库", 10), 30);
        assert_eq!(of("데이터", 10), 30);
        assert_eq!(of("e\u{301}", 1000), of("e", 1000));
        assert_eq!(of("🚀", 1000), 1250);
        assert_eq!(of("👍🏽", 1000), 1250);
        assert_eq!(of("Ж", 1000), 740);
    }
}
