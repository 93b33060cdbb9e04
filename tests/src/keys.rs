//! A person's hands: which keys of a keyboard make a text. Keys have evdev
//! numbers (linux/input-event-codes.h), and are where a US keyboard has them.

/// Left Shift.
pub const SHIFT: u8 = 42;
/// Left Ctrl.
pub const CTRL: u8 = 29;
/// Left Alt.
pub const ALT: u8 = 56;
/// Right Alt: AltGr on a German keyboard.
pub const ALT_GR: u8 = 100;
/// Enter.
pub const ENTER: u8 = 28;
/// C.
pub const C: u8 = 46;
/// D.
pub const D: u8 = 32;
/// Q.
pub const Q: u8 = 16;
/// P.
pub const P: u8 = 25;

/// A key, and what is held while it is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// The key.
    pub key: u8,
    /// The key that is held meanwhile.
    pub held: Option<u8>,
}

const US_PLAIN: [(u8, &str); 5] = [
    (2, "1234567890-="),
    (16, "qwertyuiop[]\n"),
    (30, "asdfghjkl;'`"),
    (43, "\\zxcvbnm,./"),
    (57, " "),
];
const US_SHIFTED: [(u8, &str); 4] =
    [(2, "!@#$%^&*()_+"), (16, "QWERTYUIOP{}"), (30, "ASDFGHJKL:\"~"), (43, "|ZXCVBNM<>?")];
const DE_PLAIN: [(u8, &str); 5] = [
    (2, "1234567890ß"),
    (16, "qwertzuiopü+\n"),
    (30, "asdfghjklöä"),
    (43, "#yxcvbnm,.-"),
    (57, " "),
];
const DE_SHIFTED: [(u8, &str); 4] =
    [(2, "!\"§$%&/()=?"), (16, "QWERTZUIOPÜ*"), (30, "ASDFGHJKLÖÄ"), (43, "'YXCVBNM;:_")];
const DE_ALT_GR: [(u8, &str); 3] = [(8, "{[]}\\"), (16, "@"), (86, "|")];

/// A keyboard, by what is printed on its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyboard {
    /// `us`.
    Us,
    /// `de`.
    German,
}

impl Keyboard {
    /// The stroke that makes this character.
    pub fn stroke(self, c: char) -> Option<Stroke> {
        let (plain, shifted, alt_gr): (&[_], &[_], &[_]) = match self {
            Keyboard::Us => (&US_PLAIN, &US_SHIFTED, &[]),
            Keyboard::German => (&DE_PLAIN, &DE_SHIFTED, &DE_ALT_GR),
        };
        let search = |rows: &[(u8, &str)], held| {
            rows.iter().find_map(|(first, row)| {
                let at = row.chars().position(|printed| printed == c)?;
                Some(Stroke { key: first + at as u8, held })
            })
        };
        search(plain, None)
            .or_else(|| search(shifted, Some(SHIFT)))
            .or_else(|| search(alt_gr, Some(ALT_GR)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_the_kernel_numbers_them() {
        let us = |c| Keyboard::Us.stroke(c).map(|stroke| (stroke.key, stroke.held));
        assert_eq!(us('1'), Some((2, None)));
        assert_eq!(us('q'), Some((16, None)));
        assert_eq!(us('\n'), Some((ENTER, None)));
        assert_eq!(us('c'), Some((C, None)));
        assert_eq!(us('~'), Some((41, Some(SHIFT))));
        assert_eq!(us('>'), Some((52, Some(SHIFT))));
        assert_eq!(us('ß'), None);
        let de = |c| Keyboard::German.stroke(c).map(|stroke| (stroke.key, stroke.held));
        assert_eq!(de('z'), us('y'));
        assert_eq!(de('ß'), Some((12, None)));
        assert_eq!(de('@'), Some((16, Some(ALT_GR))));
        assert_eq!(de('{'), Some((8, Some(ALT_GR))));
        assert_eq!(de('-'), Some((53, None)));
    }
}
