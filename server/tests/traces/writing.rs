//! Making a trace's file as small as it goes.

use crate::trace::{Part, Trace};
use afterglow_wire::codec::Wire;
use afterglow_wire::coding::COLOR_BYTES;
use afterglow_wire::coding::predict::{Predictor, residuals, split_colors};
use afterglow_wire::framebuffer::PIXEL_BYTES;
use bytes::BytesMut;

/// It is packed once, and read each time that the tests run.
const LEVEL: i32 = 19;

impl Trace {
    /// The file's bytes: with each pixel predicted or with none, whichever
    /// takes less. Photographs want the one, text that comes back the other.
    pub fn encode(&self) -> Vec<u8> {
        let packed = |predictor| {
            let mut plain = BytesMut::new();
            self.put(predictor, &mut plain);
            zstd::bulk::compress(&plain, LEVEL).expect("there is memory for it")
        };
        let (drawn, photographed) = (packed(Predictor::Zero), packed(Predictor::Median));
        if drawn.len() <= photographed.len() { drawn } else { photographed }
    }

    fn put(&self, predictor: Predictor, out: &mut BytesMut) {
        self.size.put(out);
        (self.frames.len() as u16).put(out);
        for frame in &self.frames {
            (frame.at_ms as u32).put(out);
            (frame.parts.len() as u16).put(out);
            frame.parts.iter().for_each(|part| part.rect.put(out));
            frame.parts.iter().for_each(|part| put_pixels(part, predictor, out));
        }
    }
}

fn put_pixels(part: &Part, predictor: Predictor, out: &mut BytesMut) {
    let width = usize::from(part.rect.width_px);
    let [mut above, mut row, mut left] = [0; 3].map(|_| vec![0; width * COLOR_BYTES]);
    for pixels in part.pixels.chunks_exact(width * PIXEL_BYTES) {
        split_colors(pixels, &mut row);
        residuals::<COLOR_BYTES>(predictor, &above, &row, &mut left);
        (predictor as u8).put(out);
        out.extend_from_slice(&left);
        std::mem::swap(&mut above, &mut row);
    }
}

#[test]
fn a_file_holds_all_of_a_trace_whichever_way_it_is_packed() {
    use crate::trace::Frame;
    use afterglow_wire::command::Rect;
    use afterglow_wire::ids::Size;

    let drawn = |x: u32, y: u32| [x / 8 % 2 * 200, y / 8 * 40, 7];
    let photographed = |x: u32, y: u32| [x * 3 + x * y % 3, y * 2 + 40, x + y];
    for color in [drawn, photographed] {
        let part = |rect: Rect| {
            let places = (0..rect.pixels()).map(|place| (place % 40, place / 40));
            let pixels = places.flat_map(|(x, y)| {
                let [blue, green, red] = color(x, y).map(|value| value as u8);
                [blue, green, red, 0]
            });
            Part { rect, pixels: pixels.collect() }
        };
        let one = Frame { at_ms: 0, parts: vec![part(Rect::new(0, 0, 40, 40))] };
        let other =
            Frame { at_ms: 70_000, parts: [0, 20].map(|y| part(Rect::new(0, y, 40, 20))).into() };
        let trace = Trace { size: Size::new(40, 40).unwrap(), frames: vec![one, other] };
        assert_eq!(Trace::decode(&trace.encode()), trace);
    }
}
