//! Words that anybody says, in a value that is no credential by its name.

/// No word of a language is longer. What is, is made by a machine.
pub(super) const LONGEST_WORD: usize = 15;
/// The digits of a port or a year.
const LONGEST_NUMBER: usize = 5;

/// Of each byte of a value, whether it belongs to something that is no ordinary word or number, and none of what stands
/// between such: `7d9f8b` of `orders-7d9f8b`.
pub(super) fn unusual(value: &[u8]) -> Vec<bool> {
    let mut unusual = Vec::with_capacity(value.len());
    for run in value.chunk_by(|one, other| is_of_run(*one) == is_of_run(*other)) {
        let is_unusual = is_of_run(run[0]) && !is_word(run) && !is_number(run);
        unusual.resize(unusual.len() + run.len(), is_unusual);
    }
    unusual
}

/// Whether there is nothing unusual in a value.
pub(super) fn is_ordinary(value: &str) -> bool {
    !unusual(value.as_bytes()).contains(&true)
}

/// Whether a value is nobody's secret, whatever its name: a number of as few digits as a port, or signs alone.
pub(super) fn is_small(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    digits <= LONGEST_NUMBER && !value.chars().any(char::is_alphabetic)
}

fn is_of_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// `orders`, `Orders` or `ORDERS`.
fn is_word(run: &[u8]) -> bool {
    let is_lower = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_lowercase);
    let is_in_one_case = run.split_first().is_some_and(|(first, rest)| first.is_ascii_alphabetic() && is_lower(rest))
        || run.iter().all(u8::is_ascii_uppercase);
    run.len() <= LONGEST_WORD && is_in_one_case
}

fn is_number(run: &[u8]) -> bool {
    run.len() <= LONGEST_NUMBER && run.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_language_has_is_unusual() {
        for (value, marks) in [
            ("orders-service.shop.svc:8080", "                            "),
            ("Orders in PRODUCTION since 2026", "                               "),
            ("orders-7d9f8b-x2x9z", "       ^^^^^^ ^^^^^"),
            ("hunter2 QWxhZGRpbg", "^^^^^^^ ^^^^^^^^^^"),
            ("123456 gr\u{f6}\u{df}e", "^^^^^^ ^^^^^^^"),
            ("qzjxkvbwtrplmnhg", "^^^^^^^^^^^^^^^^"),
        ] {
            let shown: String = unusual(value.as_bytes()).into_iter().map(|it| if it { '^' } else { ' ' }).collect();
            assert_eq!(shown, marks, "{value}");
        }
    }
}
