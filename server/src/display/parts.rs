//! A frame's commands as messages within their limits.

use afterglow_wire::codec::Wire;
use afterglow_wire::command::Command;
use afterglow_wire::display::{FramePart, FromSession};
use afterglow_wire::limits::{COMMANDS_MAX, DISPLAY_DOWN_BYTES_MAX};
use bytes::{BufMut, Bytes, BytesMut};

/// A message's length, its kind, and a part's fields before its commands.
const HEAD_BYTES: usize = 4 + 2 + 8 + 1 + 4;

/// How many bytes a command takes in a message.
fn encoded_bytes(command: &Command) -> usize {
    match command {
        Command::Set { payload, .. } => 1 + 8 + 1 + 4 + payload.len(),
        Command::Bitmap { background, payload, .. } => {
            let colors = 4 + 1 + if background.is_some() { 4 } else { 0 };
            1 + 8 + colors + 1 + 4 + payload.len()
        }
        Command::Cscs { payload, .. } => 1 + 8 + 5 + 1 + 4 + payload.len(),
        Command::Fill { .. } | Command::Copy { .. } => 13,
        Command::Cursor(shape) => 1 + 8 + 4 + shape.pixels.len(),
        Command::Size(_) => 5,
        Command::Unknown(_) => 1,
    }
}

/// Splits a frame into messages, each encoded with its length in front.
pub fn encode_frame(number: u64, commands: Vec<Command>) -> Vec<Bytes> {
    let mut parts = vec![(HEAD_BYTES, Vec::new())];
    for command in commands {
        let bytes = encoded_bytes(&command);
        match parts.last_mut() {
            Some((filled, part))
                if *filled + bytes <= DISPLAY_DOWN_BYTES_MAX && part.len() < COMMANDS_MAX =>
            {
                *filled += bytes;
                part.push(command);
            }
            _ => parts.push((HEAD_BYTES + bytes, vec![command])),
        }
    }
    let count = parts.len();
    parts
        .into_iter()
        .enumerate()
        .map(|(i, (bytes, commands))| {
            encode_part(FramePart { number, last: i + 1 == count, commands }, bytes)
        })
        .collect()
}

/// Like `encode_framed`, into memory of the right size at once.
fn encode_part(part: FramePart, bytes: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes);
    out.put_u32_le((bytes - 4) as u32);
    FromSession::Frame(part).put(&mut out);
    debug_assert_eq!(out.len(), bytes);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::codec::Message;
    use afterglow_wire::coding::planes::{Chroma, Planes};
    use afterglow_wire::command::{Coding, CursorShape, Rect};
    use afterglow_wire::ids::Size;

    fn decode(parts: &[Bytes]) -> Vec<FramePart> {
        parts
            .iter()
            .map(|part| {
                assert_eq!(
                    part.len() - 4,
                    u32::from_le_bytes(*part.first_chunk().unwrap()) as usize
                );
                match FromSession::decode(part.slice(4..)).unwrap() {
                    FromSession::Frame(part) => part,
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }

    fn bitmap(rect: Rect, background: Option<[u8; 4]>) -> Command {
        let (coding, payload) = (Coding::Raw, Bytes::from(vec![0xa0]));
        Command::Bitmap { rect, foreground: [1, 2, 3, 0], background, coding, payload }
    }

    #[test]
    fn a_small_frame_is_one_part_with_every_kind_of_command() {
        let rect = Rect::new(1, 2, 3, 1);
        let commands = vec![
            Command::Size(Size::new(64, 48).unwrap()),
            Command::Fill { rect, color: [1, 2, 3, 0] },
            Command::Copy { rect, from_x_px: 4, from_y_px: 5 },
            Command::Set { rect, coding: Coding::Raw, payload: Bytes::from(vec![7; 12]) },
            bitmap(rect, None),
            bitmap(rect, Some([4, 5, 6, 0])),
            Command::Cscs {
                rect,
                planes: Planes { chroma: Chroma::Quarter, width_px: 2, height_px: 1 },
                coding: Coding::Raw,
                payload: Bytes::from(vec![7; 4]),
            },
            Command::Cursor(CursorShape {
                width_px: 1,
                height_px: 1,
                hot_x_px: 0,
                hot_y_px: 0,
                pixels: Bytes::from(vec![1, 2, 3, 255]),
            }),
        ];
        let parts = decode(&encode_frame(9, commands.clone()));
        assert_eq!(parts, vec![FramePart { number: 9, last: true, commands }]);
    }

    #[test]
    fn a_large_frame_is_split_by_bytes_and_by_commands() {
        let rect = Rect::new(0, 0, 512, 512);
        let payload = Bytes::from(vec![0; 1024 * 1024]);
        let set = Command::Set { rect, coding: Coding::Raw, payload };
        let parts = decode(&encode_frame(1, vec![set; 5]));
        assert_eq!(parts.len(), 5);
        assert!(parts[..4].iter().all(|part| !part.last) && parts[4].last);

        let fill = Command::Fill { rect, color: [0; 4] };
        let parts = decode(&encode_frame(1, vec![fill; COMMANDS_MAX + 1]));
        assert_eq!(parts.iter().map(|p| p.commands.len()).collect::<Vec<_>>(), [COMMANDS_MAX, 1]);
    }
}
