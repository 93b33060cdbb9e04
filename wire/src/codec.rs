//! The binary codec of the control, display and local links.
//!
//! A message on a stream is a 4-byte length, then that many bytes: a 2-byte
//! kind and the fields of that kind, one after the other. Integers are little
//! endian; a string or a list is its length and then its content. Every length
//! is checked against a limit of [`crate::limits`] and against the bytes that
//! are there, before anything is allocated. A kind that is not known decodes
//! to `Unknown`, so that a newer peer can say more than an older one knows.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("the message ends too early")]
    Truncated,
    /// Bytes are left over after the last field.
    #[error("{0} bytes are left after the message's last field")]
    Trailing(usize),
    /// A length is above its limit.
    #[error("{what}: {len} is above the limit of {max}")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// The length that was announced.
        len: usize,
        /// The limit it broke.
        max: usize,
    },
    /// A field holds a value that it must not hold.
    #[error("{0} has no valid value")]
    Invalid(&'static str),
}

/// Takes fields off the front of a message.
///
/// It keeps the `Bytes` of the whole message, so a payload is taken out
/// without copying it.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
}

impl Reader {
    /// Starts to read the given message.
    pub fn new(bytes: Bytes) -> Self {
        Reader { bytes }
    }

    /// How many bytes are not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Takes `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.bytes.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.bytes.split_to(len))
    }

    /// Takes a 4-byte length and that many bytes, at most `max`.
    pub fn take_bytes(&mut self, what: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        let len = u32::get(self)? as usize;
        if len > max {
            return Err(DecodeError::TooLong { what, len, max });
        }
        self.take(len)
    }

    /// Takes a text of at most `max` bytes of UTF-8.
    pub fn take_text(&mut self, what: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.take_bytes(what, max)?;
        String::from_utf8(bytes.into()).map_err(|_| DecodeError::Invalid(what))
    }

    /// Takes a list of at most `max` elements.
    pub fn take_list<T: Wire>(
        &mut self,
        what: &'static str,
        max: usize,
    ) -> Result<Vec<T>, DecodeError> {
        let len = u32::get(self)? as usize;
        if len > max {
            return Err(DecodeError::TooLong { what, len, max });
        }
        // Each element has at least one byte, so the list's memory is bounded
        // by the message's own length as well.
        let mut list = Vec::with_capacity(len.min(self.remaining()));
        for _ in 0..len {
            list.push(T::get(self)?);
        }
        Ok(list)
    }

    /// Says that the message is read whole; an error if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// Something that has a place in a message.
pub trait Wire: Sized {
    /// Appends this value.
    fn put(&self, out: &mut BytesMut);
    /// Takes a value off the front.
    fn get(from: &mut Reader) -> Result<Self, DecodeError>;
}

/// A whole message of one link and direction.
pub trait Message: Wire {
    /// The longest encoded message of this kind, in bytes, without its length.
    const BYTES_MAX: usize;

    /// Decodes one message: its bytes after the length.
    fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(DecodeError::TooLong {
                what: "message",
                len: bytes.len(),
                max: Self::BYTES_MAX,
            });
        }
        let mut reader = Reader::new(bytes);
        let message = Self::get(&mut reader)?;
        reader.finish()?;
        Ok(message)
    }

    /// Encodes this message with its length in front, ready for a stream.
    fn encode_framed(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        out.put_u32_le(0);
        self.put(&mut out);
        let len = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&len.to_le_bytes());
        out.freeze()
    }

    /// Encodes this message without a length.
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        self.put(&mut out);
        out.freeze()
    }
}

/// Puts a length and the bytes.
pub fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

/// Puts a length and the elements.
pub fn put_list<T: Wire>(out: &mut BytesMut, list: &[T]) {
    out.put_u32_le(list.len() as u32);
    for element in list {
        element.put(out);
    }
}

macro_rules! wire_integer {
    ($($type:ty: $put:ident $get:ident;)*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
            fn get(from: &mut Reader) -> Result<Self, DecodeError> {
                let mut bytes = from.take(size_of::<$type>())?;
                Ok(bytes.$get())
            }
        }
    )*};
}

wire_integer! {
    u8: put_u8 get_u8;
    u16: put_u16_le get_u16_le;
    u32: put_u32_le get_u32_le;
    u64: put_u64_le get_u64_le;
    i16: put_i16_le get_i16_le;
    i64: put_i64_le get_i64_le;
}

impl Wire for bool {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("truth value")),
        }
    }
}

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(self);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let mut array = [0; N];
        from.take(N)?.copy_to_slice(&mut array);
        Ok(array)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(if bool::get(from)? { Some(T::get(from)?) } else { None })
    }
}

/// A text meant for a person or a log: at most
/// [`crate::limits::TEXT_BYTES_MAX`] bytes, longer ones are cut when they are
/// put.
impl Wire for String {
    fn put(&self, out: &mut BytesMut) {
        let mut end = self.len().min(crate::limits::TEXT_BYTES_MAX);
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        put_bytes(out, &self.as_bytes()[..end]);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        from.take_text("text", crate::limits::TEXT_BYTES_MAX)
    }
}

impl Wire for Ipv4Addr {
    fn put(&self, out: &mut BytesMut) {
        self.octets().put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        <[u8; 4]>::get(from).map(Ipv4Addr::from)
    }
}

impl Wire for SocketAddrV4 {
    fn put(&self, out: &mut BytesMut) {
        self.ip().put(out);
        self.port().put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(SocketAddrV4::new(Ipv4Addr::get(from)?, u16::get(from)?))
    }
}

/// A structure whose fields follow each other on the wire, in their order.
macro_rules! wire_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut bytes::BytesMut) {
                $(self.$field.put(out);)*
                let _ = out;
            }
            fn get(from: &mut $crate::codec::Reader) -> Result<Self, $crate::codec::DecodeError> {
                $(let $field = <$type as $crate::codec::Wire>::get(from)?;)*
                let _ = from;
                Ok($name { $($field,)* })
            }
        }
    };
}

/// An enumeration of one byte; a value that is not known is an error.
macro_rules! wire_choice {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        pub enum $name { $($(#[$variant_meta])* $variant = $value,)* }
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut bytes::BytesMut) {
                (*self as u8).put(out);
            }
            fn get(from: &mut $crate::codec::Reader) -> Result<Self, $crate::codec::DecodeError> {
                match u8::get(from)? {
                    $($value => Ok($name::$variant),)*
                    _ => Err($crate::codec::DecodeError::Invalid(stringify!($name))),
                }
            }
        }
    };
}

/// The messages of one link and direction. A kind that is not known decodes
/// to `Unknown` and its fields are skipped.
macro_rules! wire_messages {
    ($(#[$meta:meta])* pub enum $name:ident max $max:expr; { $($(#[$variant_meta:meta])* $kind:literal => $variant:ident($type:ty),)* }) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[$variant_meta])* $variant($type),)*
            /// A kind that this version does not know; to be skipped.
            Unknown(u16),
        }
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut bytes::BytesMut) {
                match self {
                    $($name::$variant(message) => { let kind: u16 = $kind; kind.put(out); message.put(out); })*
                    $name::Unknown(kind) => kind.put(out),
                }
            }
            fn get(from: &mut $crate::codec::Reader) -> Result<Self, $crate::codec::DecodeError> {
                match u16::get(from)? {
                    $($kind => Ok($name::$variant(<$type as $crate::codec::Wire>::get(from)?)),)*
                    kind => {
                        from.take(from.remaining())?;
                        Ok($name::Unknown(kind))
                    }
                }
            }
        }
        impl $crate::codec::Message for $name {
            const BYTES_MAX: usize = $max;
        }
        $(impl From<$type> for $name {
            fn from(message: $type) -> Self { $name::$variant(message) }
        })*
    };
}
