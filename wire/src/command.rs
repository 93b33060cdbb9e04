//! The display commands: the Sun Ray's SET, BITMAP, FILL, COPY and CSCS, and
//! CURSOR and SIZE.
//!
//! A pixel is four bytes: blue, green, red, and one that is not used and that
//! is 0 in every payload. What a command does to a picture is defined by
//! [`crate::framebuffer`].

use crate::codec::{DecodeError, Reader, Wire, put_bytes};
use crate::coding::planes::Planes;
use crate::ids::Size;
use crate::limits::{
    BITMAP_BYTES_MAX, CSCS_BYTES_MAX, CURSOR_PX_MAX, SET_BYTES_MAX, SET_PIXELS_MAX,
};
use bytes::{Bytes, BytesMut};

wire_struct! {
    /// A rectangle of the framebuffer, in pixels from its top left corner.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Rect {
        /// Left edge.
        pub x_px: u16,
        /// Top edge.
        pub y_px: u16,
        /// Width; a command's is never 0.
        pub width_px: u16,
        /// Height; a command's is never 0.
        pub height_px: u16,
    }
}

impl Rect {
    /// A rectangle from its corner and size.
    pub fn new(x_px: u16, y_px: u16, width_px: u16, height_px: u16) -> Self {
        Rect { x_px, y_px, width_px, height_px }
    }

    /// The whole of a framebuffer.
    pub fn whole(size: Size) -> Self {
        Rect::new(0, 0, size.width_px(), size.height_px())
    }

    /// The first column right of it.
    pub fn right_px(&self) -> u32 {
        u32::from(self.x_px) + u32::from(self.width_px)
    }

    /// The first row below it.
    pub fn bottom_px(&self) -> u32 {
        u32::from(self.y_px) + u32::from(self.height_px)
    }

    /// How many pixels it has.
    pub fn pixels(&self) -> u32 {
        u32::from(self.width_px) * u32::from(self.height_px)
    }

    /// True if it has no pixel.
    pub fn is_empty(&self) -> bool {
        self.width_px == 0 || self.height_px == 0
    }

    /// True if all of it lies in a framebuffer of this size.
    pub fn fits(&self, size: Size) -> bool {
        self.right_px() <= u32::from(size.width_px())
            && self.bottom_px() <= u32::from(size.height_px())
    }

    /// What both cover, if they do.
    pub fn intersection(&self, other: &Rect) -> Option<Rect> {
        let x = self.x_px.max(other.x_px);
        let y = self.y_px.max(other.y_px);
        let right = self.right_px().min(other.right_px());
        let bottom = self.bottom_px().min(other.bottom_px());
        (right > u32::from(x) && bottom > u32::from(y))
            .then(|| Rect::new(x, y, (right - u32::from(x)) as u16, (bottom - u32::from(y)) as u16))
    }

    /// The smallest rectangle that covers both.
    pub fn union(&self, other: &Rect) -> Rect {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        let x = self.x_px.min(other.x_px);
        let y = self.y_px.min(other.y_px);
        let right = self.right_px().max(other.right_px());
        let bottom = self.bottom_px().max(other.bottom_px());
        Rect::new(x, y, (right - u32::from(x)) as u16, (bottom - u32::from(y)) as u16)
    }
}

/// How a payload is packed; [`crate::coding`] says it to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Raw,
    /// The raw form as one zstd frame (RFC 8878).
    Zstd,
    /// The raw form in the attachment's zstd stream.
    Stream,
    /// Indices into at most 256 colours, in the attachment's zstd stream. Of a
    /// SET only.
    Palette,
    /// What is left of three bytes a pixel, or of samples, once they are
    /// predicted from their neighbours, in the attachment's zstd stream. Of a
    /// SET or a CSCS.
    Predicted,
    /// A coding of a newer version: the frame cannot be shown.
    Unknown(u8),
}

impl Wire for Coding {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Coding::Raw => 0,
            Coding::Zstd => 1,
            Coding::Stream => 2,
            Coding::Palette => 3,
            Coding::Predicted => 4,
            Coding::Unknown(code) => *code,
        }
        .put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match u8::get(from)? {
            0 => Coding::Raw,
            1 => Coding::Zstd,
            2 => Coding::Stream,
            3 => Coding::Palette,
            4 => Coding::Predicted,
            code => Coding::Unknown(code),
        })
    }
}

/// A pointer's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorShape {
    /// Width, 0 (no pointer) to [`CURSOR_PX_MAX`].
    pub width_px: u16,
    /// Height, likewise.
    pub height_px: u16,
    /// Which of its pixels points, from the left.
    pub hot_x_px: u16,
    /// Which of its pixels points, from the top.
    pub hot_y_px: u16,
    /// Row by row: blue, green, red, alpha; premultiplied.
    pub pixels: Bytes,
}

impl Wire for CursorShape {
    fn put(&self, out: &mut BytesMut) {
        self.width_px.put(out);
        self.height_px.put(out);
        self.hot_x_px.put(out);
        self.hot_y_px.put(out);
        put_bytes(out, &self.pixels);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let (width_px, height_px) = (u16::get(from)?, u16::get(from)?);
        let (hot_x_px, hot_y_px) = (u16::get(from)?, u16::get(from)?);
        if width_px > CURSOR_PX_MAX || height_px > CURSOR_PX_MAX {
            return Err(DecodeError::Invalid("cursor size"));
        }
        let bytes = usize::from(width_px) * usize::from(height_px) * 4;
        let pixels = from.take_bytes("cursor", bytes)?;
        let hot_inside = bytes == 0 || (hot_x_px < width_px && hot_y_px < height_px);
        if pixels.len() != bytes || !hot_inside {
            return Err(DecodeError::Invalid("cursor"));
        }
        Ok(CursorShape { width_px, height_px, hot_x_px, hot_y_px, pixels })
    }
}

/// One display command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Literal pixels.
    Set {
        /// Where.
        rect: Rect,
        /// How they are packed.
        coding: Coding,
        /// The packed pixels.
        payload: Bytes,
    },
    /// One colour.
    Fill {
        /// Where.
        rect: Rect,
        /// Blue, green, red, 0.
        color: [u8; 4],
    },
    /// Pixels from elsewhere in the framebuffer, as they were before this
    /// command; source and destination may overlap.
    Copy {
        /// Where to.
        rect: Rect,
        /// Where from: the left edge.
        from_x_px: u16,
        /// Where from: the top edge.
        from_y_px: u16,
    },
    /// One bit a pixel, in two colours or in one.
    Bitmap {
        /// Where.
        rect: Rect,
        /// Where a bit is 1: blue, green, red, 0.
        foreground: [u8; 4],
        /// Where a bit is 0; if there is none, what was there stays.
        background: Option<[u8; 4]>,
        /// How the bits are packed.
        coding: Coding,
        /// The packed bits.
        payload: Bytes,
    },
    /// Luma and chroma, turned into colours and scaled to the rectangle.
    Cscs {
        /// Where.
        rect: Rect,
        /// The size and kind of what is drawn there.
        planes: Planes,
        /// How the samples are packed.
        coding: Coding,
        /// The packed samples.
        payload: Bytes,
    },
    /// A new pointer shape.
    Cursor(CursorShape),
    /// The framebuffer's new size. What was inside both stays; new pixels are
    /// black.
    Size(Size),
    /// A command of a newer version: the frame cannot be shown.
    Unknown(u8),
}

impl Command {
    /// How many bytes its payload has; 0 if it has none.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Command::Set { payload, .. }
            | Command::Bitmap { payload, .. }
            | Command::Cscs { payload, .. } => payload.len(),
            Command::Cursor(shape) => shape.pixels.len(),
            Command::Fill { .. }
            | Command::Copy { .. }
            | Command::Size(_)
            | Command::Unknown(_) => 0,
        }
    }
}

const SET: u8 = 1;
const FILL: u8 = 2;
const COPY: u8 = 3;
const CURSOR: u8 = 4;
const SIZE: u8 = 5;
const BITMAP: u8 = 6;
const CSCS: u8 = 7;

impl Wire for Command {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Command::Set { rect, coding, payload } => {
                SET.put(out);
                rect.put(out);
                coding.put(out);
                put_bytes(out, payload);
            }
            Command::Fill { rect, color } => {
                FILL.put(out);
                rect.put(out);
                color.put(out);
            }
            Command::Copy { rect, from_x_px, from_y_px } => {
                COPY.put(out);
                rect.put(out);
                from_x_px.put(out);
                from_y_px.put(out);
            }
            Command::Bitmap { rect, foreground, background, coding, payload } => {
                BITMAP.put(out);
                rect.put(out);
                foreground.put(out);
                background.put(out);
                coding.put(out);
                put_bytes(out, payload);
            }
            Command::Cscs { rect, planes, coding, payload } => {
                CSCS.put(out);
                rect.put(out);
                planes.put(out);
                coding.put(out);
                put_bytes(out, payload);
            }
            Command::Cursor(shape) => {
                CURSOR.put(out);
                shape.put(out);
            }
            Command::Size(size) => {
                SIZE.put(out);
                size.put(out);
            }
            Command::Unknown(kind) => kind.put(out),
        }
    }

    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            SET => {
                let rect = get_literal_rect(from, "SET's size")?;
                let coding = Coding::get(from)?;
                let payload = from.take_bytes("SET", SET_BYTES_MAX)?;
                Ok(Command::Set { rect, coding, payload })
            }
            FILL => Ok(Command::Fill { rect: get_rect(from)?, color: <[u8; 4]>::get(from)? }),
            COPY => Ok(Command::Copy {
                rect: get_rect(from)?,
                from_x_px: u16::get(from)?,
                from_y_px: u16::get(from)?,
            }),
            BITMAP => Ok(Command::Bitmap {
                rect: get_literal_rect(from, "BITMAP's size")?,
                foreground: <[u8; 4]>::get(from)?,
                background: Option::get(from)?,
                coding: Coding::get(from)?,
                payload: from.take_bytes("BITMAP", BITMAP_BYTES_MAX)?,
            }),
            CSCS => Ok(Command::Cscs {
                rect: get_rect(from)?,
                planes: Planes::get(from)?,
                coding: Coding::get(from)?,
                payload: from.take_bytes("CSCS", CSCS_BYTES_MAX)?,
            }),
            CURSOR => Ok(Command::Cursor(CursorShape::get(from)?)),
            SIZE => Ok(Command::Size(Size::get(from)?)),
            kind => {
                // Commands carry no length of their own: what follows one
                // that is not known cannot be read.
                from.take(from.remaining())?;
                Ok(Command::Unknown(kind))
            }
        }
    }
}

fn get_rect(from: &mut Reader) -> Result<Rect, DecodeError> {
    let rect = Rect::get(from)?;
    if rect.is_empty() { Err(DecodeError::Invalid("rectangle")) } else { Ok(rect) }
}

/// A rectangle of no more pixels than a payload may bring.
fn get_literal_rect(from: &mut Reader, what: &'static str) -> Result<Rect, DecodeError> {
    let rect = get_rect(from)?;
    if rect.pixels() > SET_PIXELS_MAX { Err(DecodeError::Invalid(what)) } else { Ok(rect) }
}
