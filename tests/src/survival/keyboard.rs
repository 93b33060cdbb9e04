//! The keys that are typed: letters, Shift and Enter.

use crate::keys::{ENTER as ENTER_KEY, Keyboard, SHIFT};

/// X key codes are evdev's and 8.
const X_KEY_OFFSET: u8 = 8;
/// What Enter makes.
pub const ENTER: char = '\n';
/// What stands for the key Shift itself.
pub const SHIFT_KEY: char = '^';

/// What is typed, one after the other, without end: letters that nobody can
/// guess, now and then with Shift held for a while, and after some the end of
/// the line. The same letter never comes twice in a row.
#[derive(Debug, Clone, Default)]
pub struct Text {
    count: u64,
    last: Option<char>,
}

/// How many keys make a line, Enter included.
const LINE_KEYS: u64 = 25;
/// With these keys of each line Shift is held.
const SHIFTED: std::ops::Range<u64> = 8..16;

impl Iterator for Text {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let (place, count) = (self.count % LINE_KEYS, self.count);
        self.count += 1;
        if place == LINE_KEYS - 1 {
            self.last = None;
            return Some(ENTER);
        }
        // Steele, Lea and Flood's SplitMix64.
        let mixed = (count + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mut letter = char::from(b'a' + (mixed % 26) as u8);
        if self.last == Some(letter) {
            letter = if letter == 'z' { 'a' } else { char::from(letter as u8 + 1) };
        }
        self.last = Some(letter);
        Some(if SHIFTED.contains(&place) { letter.to_ascii_uppercase() } else { letter })
    }
}

/// The evdev number of the key that makes a character, and whether Shift is
/// held.
pub fn key(c: char) -> Option<(u8, bool)> {
    if c == ENTER {
        return Some((ENTER_KEY, false));
    }
    let stroke = Keyboard::Us.stroke(c)?;
    Some((stroke.key, stroke.held == Some(SHIFT)))
}

/// What an X key code makes on a US keyboard.
pub fn character(code: u8, shifted: bool) -> Option<char> {
    let pressed = code.checked_sub(X_KEY_OFFSET)?;
    if pressed == SHIFT {
        return Some(SHIFT_KEY);
    }
    if pressed == ENTER_KEY {
        return Some(ENTER);
    }
    let letter = ('a'..='z').find(|c| key(*c) == Some((pressed, false)))?;
    Some(if shifted { letter.to_ascii_uppercase() } else { letter })
}

/// As it stands in notes.
pub fn printable(c: char) -> char {
    if c == ENTER { '$' } else { c }
}

/// What stands in notes, read back.
pub fn of_printable(c: char) -> char {
    if c == '$' { ENTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_typed_is_known_by_its_code() {
        let text: Vec<char> = Text::default().take(1000).collect();
        for c in &text {
            let (key, shifted) = key(*c).unwrap();
            assert_eq!(character(key + X_KEY_OFFSET, shifted), Some(*c));
            assert_eq!(of_printable(printable(*c)), *c);
        }
        assert!(text.windows(2).all(|two| !two[0].eq_ignore_ascii_case(&two[1])));
        assert!(text.contains(&ENTER) && text.iter().any(char::is_ascii_uppercase));
        assert_eq!(character(SHIFT + X_KEY_OFFSET, true), Some(SHIFT_KEY));
    }
}
