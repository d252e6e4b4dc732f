//! Sets of characters.

/// A set of characters, as ranges in ascending order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class(Vec<(char, char)>);

impl Class {
    /// The characters of these ranges, which may overlap.
    pub(super) fn of(ranges: impl IntoIterator<Item = (char, char)>) -> Self {
        let mut sorted: Vec<(char, char)> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<(char, char)> = Vec::with_capacity(sorted.len());
        for (from, to) in sorted {
            match merged.last_mut() {
                Some(last) if after(last.1).is_none_or(|after| from <= after) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    /// The class that POSIX calls `name`, of ASCII characters alone.
    pub(super) fn posix(name: &str) -> Option<Self> {
        let ranges: &[(char, char)] = match name {
            "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
            "alpha" => &[('A', 'Z'), ('a', 'z')],
            "ascii" => &[('\0', '\x7f')],
            "blank" => &[('\t', '\t'), (' ', ' ')],
            "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
            "digit" => &[('0', '9')],
            "graph" => &[('!', '~')],
            "lower" => &[('a', 'z')],
            "print" => &[(' ', '~')],
            "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
            "space" => &[('\t', '\r'), (' ', ' ')],
            "upper" => &[('A', 'Z')],
            "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
            _ => return None,
        };
        Some(Self::of(ranges.iter().copied()))
    }

    /// The set with the other case of each of its ASCII letters. Of a range that reaches from upper to lower case only
    /// the lower case counts, as in regex-lite.
    pub(super) fn with_both_cases(self) -> Self {
        let other_case = self.0.iter().filter_map(|range| {
            let upper = |from: char, to: char| (from.to_ascii_uppercase(), to.to_ascii_uppercase());
            let lower = |from: char, to: char| (from.to_ascii_lowercase(), to.to_ascii_lowercase());
            let shared = |first: char, last: char| {
                let (from, to) = (range.0.max(first), range.1.min(last));
                (from <= to).then_some((from, to))
            };
            let of_lower = shared('a', 'z').map(|(from, to)| upper(from, to));
            of_lower.or_else(|| shared('A', 'Z').map(|(from, to)| lower(from, to)))
        });
        Self::of(self.0.iter().copied().chain(other_case))
    }

    /// All other characters.
    pub(super) fn negated(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len() + 1);
        let mut next = Some('\0');
        for (from, to) in &self.0 {
            if let (Some(start), Some(end)) = (next, before(*from))
                && start <= end
            {
                ranges.push((start, end));
            }
            next = after(*to);
        }
        ranges.extend(next.map(|start| (start, char::MAX)));
        Self(ranges)
    }

    pub(super) fn ranges(&self) -> &[(char, char)] {
        &self.0
    }

    pub(super) fn contains(&self, character: char) -> bool {
        let index = self.0.partition_point(|(_, to)| *to < character);
        self.0.get(index).is_some_and(|(from, _)| *from <= character)
    }
}

/// The next character; surrogates are none.
pub(super) fn after(character: char) -> Option<char> {
    match character {
        '\u{d7ff}' => Some('\u{e000}'),
        other => char::from_u32(u32::from(other) + 1),
    }
}

fn before(character: char) -> Option<char> {
    match character {
        '\u{e000}' => Some('\u{d7ff}'),
        other => char::from_u32(u32::from(other).checked_sub(1)?),
    }
}
