//! The names of things: tokens, sessions, epochs, servers, DTUs, groups.

use crate::codec::{DecodeError, Reader, Wire};
use crate::limits::{KEYMAP_BYTES_MAX, SERVER_NAME_CHARS_MAX, TOKEN_ID_CHARS_MAX};
use bytes::BytesMut;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {rule}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
    rule: &'static str,
}

pub(crate) fn invalid(what: &'static str, text: &str, rule: &'static str) -> InvalidName {
    let text = text.chars().take(80).collect();
    InvalidName { what, text, rule }
}

/// What kind of thing a token was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// A card's own number. *Identification only*: a number can be copied.
    Card,
    /// A PIV card, named by its verified certificate.
    Piv,
    /// The DTU itself, named by its key.
    Pseudo,
    /// A card in software, inserted and removed by a hot key.
    Soft,
}

impl TokenKind {
    /// The word in front of the dot.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenKind::Card => "card",
            TokenKind::Piv => "piv",
            TokenKind::Pseudo => "pseudo",
            TokenKind::Soft => "soft",
        }
    }
}

/// What identifies a user: `card.…`, `piv.…`, `pseudo.…` or `soft.…`.
///
/// A token is a credential where the policy asks for no proof, so `Debug`
/// prints its kind and a short hash; `Display` prints it whole.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    kind: TokenKind,
    text: String,
}

impl Token {
    /// Makes a token of the given kind; the id is 1 to
    /// [`TOKEN_ID_CHARS_MAX`] characters of `A–Z a–z 0–9 - _`.
    pub fn new(kind: TokenKind, id: &str) -> Result<Self, InvalidName> {
        let fits = (1..=TOKEN_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits {
            return Err(invalid("token id", id, "1 to 64 letters, digits, '-' or '_'"));
        }
        Ok(Token { kind, text: format!("{}.{id}", kind.as_str()) })
    }

    /// The pseudo-token of the DTU with this key.
    pub fn pseudo(dtu: DtuId) -> Self {
        Token { kind: TokenKind::Pseudo, text: format!("pseudo.{dtu}") }
    }

    /// What the token was read from.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The whole token, kind and id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A short name for logs that does not give the token away.
    pub fn log_name(&self) -> String {
        let hash = Sha256::digest(self.text.as_bytes());
        format!("{}.#{}", self.kind.as_str(), hex(&hash[..4]))
    }
}

impl FromStr for Token {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let rule = "card., piv., pseudo. or soft. and an id";
        let (kind, id) = text.split_once('.').ok_or_else(|| invalid("token", text, rule))?;
        let kind = match kind {
            "card" => TokenKind::Card,
            "piv" => TokenKind::Piv,
            "pseudo" => TokenKind::Pseudo,
            "soft" => TokenKind::Soft,
            _ => return Err(invalid("token", text, rule)),
        };
        Token::new(kind, id)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.log_name())
    }
}

impl Wire for Token {
    fn put(&self, out: &mut BytesMut) {
        crate::codec::put_bytes(out, self.text.as_bytes());
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let text = from.take_text("token", TOKEN_ID_CHARS_MAX + 8)?;
        text.parse().map_err(|_| DecodeError::Invalid("token"))
    }
}

/// A server's name: a host name label of lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(String);

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=SERVER_NAME_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            return Err(invalid("server name", text, "1 to 63 of a-z, 0-9 and '-'"));
        }
        Ok(ServerName(text.to_owned()))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for ServerName {
    fn put(&self, out: &mut BytesMut) {
        crate::codec::put_bytes(out, self.0.as_bytes());
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let text = from.take_text("server name", SERVER_NAME_CHARS_MAX)?;
        text.parse().map_err(|_| DecodeError::Invalid("server name"))
    }
}

/// The name of an X keyboard layout, such as `us`, `de` or `us(intl)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keymap(String);

impl Keymap {
    /// The layout's name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Keymap {
    fn default() -> Self {
        Keymap("us".into())
    }
}

impl FromStr for Keymap {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=KEYMAP_BYTES_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-(),".contains(&b));
        if !fits {
            return Err(invalid(
                "keyboard layout",
                text,
                "an X layout such as us or de(nodeadkeys)",
            ));
        }
        Ok(Keymap(text.to_owned()))
    }
}

impl fmt::Display for Keymap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for Keymap {
    fn put(&self, out: &mut BytesMut) {
        crate::codec::put_bytes(out, self.0.as_bytes());
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let text = from.take_text("keyboard layout", KEYMAP_BYTES_MAX)?;
        text.parse().map_err(|_| DecodeError::Invalid("keyboard layout"))
    }
}

/// Lower-case hexadecimal digits of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of a hexadecimal text of exactly `2 * N` digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

macro_rules! byte_id {
    ($(#[$meta:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}…", hex(&self.0[..4]))
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                unhex(text).map($name).ok_or_else(|| invalid($what, text, concat!($len, " bytes as hexadecimal digits")))
            }
        }
        impl Wire for $name {
            fn put(&self, out: &mut BytesMut) {
                self.0.put(out);
            }
            fn get(from: &mut Reader) -> Result<Self, DecodeError> {
                Ok($name(<[u8; $len]>::get(from)?))
            }
        }
    };
}

byte_id! {
    /// A session, by the random number that it was given when it was new. It
    /// keeps it when another host takes it over.
    SessionId, 16, "session id"
}
byte_id! {
    /// A DTU: the SHA-256 of its public key, as seen on its TLS link.
    DtuId, 32, "DTU fingerprint"
}
byte_id! {
    /// A failover group: the SHA-256 of its authority's public key.
    GroupId, 32, "group fingerprint"
}

impl DtuId {
    /// The DTU whose public key has this encoding (SubjectPublicKeyInfo, DER).
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        DtuId(Sha256::digest(spki_der).into())
    }
}

impl GroupId {
    /// The group whose authority has this public key (SubjectPublicKeyInfo,
    /// DER).
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        GroupId(Sha256::digest(spki_der).into())
    }
}

/// How often a session's services had to start again. Of two copies of one
/// session the one with the higher epoch is the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a session that is new.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Wire for Epoch {
    fn put(&self, out: &mut BytesMut) {
        self.0.put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Epoch(u64::get(from)?))
    }
}

/// A size in pixels, each side between [`crate::limits::SIZE_PX_MIN`] and
/// [`crate::limits::SIZE_PX_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    width_px: u16,
    height_px: u16,
}

impl Size {
    /// The size, if both sides are within their limits.
    pub fn new(width_px: u16, height_px: u16) -> Option<Self> {
        let range = crate::limits::SIZE_PX_MIN..=crate::limits::SIZE_PX_MAX;
        (range.contains(&width_px) && range.contains(&height_px))
            .then_some(Size { width_px, height_px })
    }

    /// The nearest size that is within the limits and not larger than `max`.
    pub fn clamped(width_px: u32, height_px: u32, max: Size) -> Self {
        let min = u32::from(crate::limits::SIZE_PX_MIN);
        Size {
            width_px: width_px.clamp(min, u32::from(max.width_px)) as u16,
            height_px: height_px.clamp(min, u32::from(max.height_px)) as u16,
        }
    }

    /// The width.
    pub fn width_px(self) -> u16 {
        self.width_px
    }

    /// The height.
    pub fn height_px(self) -> u16 {
        self.height_px
    }

    /// How many pixels that is.
    pub fn pixels(self) -> usize {
        usize::from(self.width_px) * usize::from(self.height_px)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width_px, self.height_px)
    }
}

impl FromStr for Size {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.split_once('x')
            .and_then(|(w, h)| Size::new(w.parse().ok()?, h.parse().ok()?))
            .ok_or_else(|| invalid("size", text, "WIDTHxHEIGHT, each 16 to 8192"))
    }
}

impl Wire for Size {
    fn put(&self, out: &mut BytesMut) {
        self.width_px.put(out);
        self.height_px.put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let (width_px, height_px) = (u16::get(from)?, u16::get(from)?);
        Size::new(width_px, height_px).ok_or(DecodeError::Invalid("size"))
    }
}
