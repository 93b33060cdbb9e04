// BITMAP: one bit a pixel, in two colours or in one. Each instance is one
// BITMAP; they are drawn in the order of the commands.

struct Bitmap {
    // Left, top, width, height in pixels.
    @location(0) rect: vec4<u32>,
    // Blue, green, red, unused.
    @location(1) foreground: vec4<u32>,
    @location(2) background: vec4<u32>,
    // The framebuffer's width and height in pixels.
    @location(3) size: vec2<u32>,
    // Where its bits begin among the payloads' bytes, and 1 if the background
    // is drawn.
    @location(4) start: vec2<u32>,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) rect: vec4<u32>,
    @location(1) @interpolate(flat) foreground: vec4<u32>,
    @location(2) @interpolate(flat) background: vec4<u32>,
    @location(3) @interpolate(flat) start: vec2<u32>,
}

// The bytes of all payloads, one after the other, in rows of 2048.
@group(0) @binding(0) var payloads: texture_2d<u32>;

@vertex
fn corner(@builtin(vertex_index) index: u32, bitmap: Bitmap) -> Corner {
    let pixel = bitmap.rect.xy + bitmap.rect.zw * vec2<u32>(index & 1u, index >> 1u);
    let unit = vec2<f32>(pixel) / vec2<f32>(bitmap.size);
    var out: Corner;
    out.position = vec4<f32>(unit.x * 2.0 - 1.0, 1.0 - unit.y * 2.0, 0.0, 1.0);
    out.rect = bitmap.rect;
    out.foreground = bitmap.foreground;
    out.background = bitmap.background;
    out.start = bitmap.start;
    return out;
}

fn payload_byte(at: u32) -> u32 {
    return textureLoad(payloads, vec2<u32>(at & 2047u, at >> 11u), 0).x;
}

@fragment
fn pixel(in: Corner) -> @location(0) vec4<f32> {
    let at = vec2<u32>(in.position.xy) - in.rect.xy;
    let row_bytes = (in.rect.z + 7u) / 8u;
    let byte = payload_byte(in.start.x + at.y * row_bytes + at.x / 8u);
    var color = in.foreground;
    if ((byte >> (7u - at.x % 8u)) & 1u) == 0u {
        if in.start.y == 0u {
            discard;
        }
        color = in.background;
    }
    // n / 255 is stored as exactly n in an 8-bit normalised channel.
    return vec4<f32>(color.zyxw) / 255.0;
}
