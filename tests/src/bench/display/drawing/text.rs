//! Text that is the same in every run.

use super::images::mixed;
use std::fmt::Write as _;

const WORDS: [&str; 24] = [
    "desktop", "of", "the", "unit", "session", "and", "moves", "a", "server", "to", "picture",
    "is", "card", "in", "user", "where", "network", "host", "it", "window", "group", "that",
    "keeps", "every",
];
/// Lines have as many letters, or a few more.
const LINE_LETTERS: usize = 72;

/// So many lines of text; each number is another page.
pub fn lines(number: u64, count: u64) -> Vec<String> {
    (0..count)
        .map(|line| {
            let mut text = format!("{number:02}.{line:05} ");
            let mut drawn = mixed(number << 32 | line);
            while text.len() < LINE_LETTERS {
                drawn = mixed(drawn);
                let word = WORDS[(drawn % WORDS.len() as u64) as usize];
                // Writing into a string does not fail.
                let _ = write!(text, "{word} ");
            }
            text
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_the_same_in_every_run_and_differ_from_each_other() {
        let lines = super::lines(3, 200);
        assert_eq!(lines, super::lines(3, 200));
        assert!(lines.windows(2).all(|two| two[0][9..] != two[1][9..]));
        assert!(lines.iter().all(|line| line.is_ascii() && line.len() < 90));
    }
}
