// CSCS: luma and chroma, turned into colours and scaled to the rectangle. Each
// instance is one CSCS; they are drawn in the order of the commands. The
// arithmetic is the reference's, integer by integer.

struct Cscs {
    // Left, top, width, height in pixels.
    @location(0) rect: vec4<u32>,
    // The luma plane's width and height, and those of a chroma plane.
    @location(1) planes: vec4<u32>,
    // The framebuffer's width and height in pixels.
    @location(2) size: vec2<u32>,
    // By how many bits a place in luma is shifted to be one in chroma.
    @location(3) shift: vec2<u32>,
    // Where its samples begin among the payloads' bytes.
    @location(4) start: u32,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) rect: vec4<u32>,
    @location(1) @interpolate(flat) planes: vec4<u32>,
    @location(2) @interpolate(flat) shift: vec2<u32>,
    @location(3) @interpolate(flat) start: u32,
}

// The bytes of all payloads, one after the other, in rows of 2048.
@group(0) @binding(0) var payloads: texture_2d<u32>;

@vertex
fn corner(@builtin(vertex_index) index: u32, cscs: Cscs) -> Corner {
    let pixel = cscs.rect.xy + cscs.rect.zw * vec2<u32>(index & 1u, index >> 1u);
    let unit = vec2<f32>(pixel) / vec2<f32>(cscs.size);
    var out: Corner;
    out.position = vec4<f32>(unit.x * 2.0 - 1.0, 1.0 - unit.y * 2.0, 0.0, 1.0);
    out.rect = cscs.rect;
    out.planes = cscs.planes;
    out.shift = cscs.shift;
    out.start = cscs.start;
    return out;
}

fn sample_at(at: u32) -> i32 {
    return i32(textureLoad(payloads, vec2<u32>(at & 2047u, at >> 11u), 0).x);
}

@fragment
fn pixel(in: Corner) -> @location(0) vec4<f32> {
    let at = vec2<u32>(in.position.xy) - in.rect.xy;
    // The source pixel that the target pixel's centre lies in.
    let place = (2u * at + 1u) * in.planes.xy / (2u * in.rect.zw);
    let chroma = place >> in.shift;
    let luma_samples = in.planes.x * in.planes.y;
    let chroma_samples = in.planes.z * in.planes.w;
    let chroma_at = in.start + luma_samples + chroma.y * in.planes.z + chroma.x;
    let y = sample_at(in.start + place.y * in.planes.x + place.x);
    let u = sample_at(chroma_at) - 128;
    let v = sample_at(chroma_at + chroma_samples) - 128;
    let rounding = 1 << 15u;
    // A shift of a signed number keeps its sign, so this rounds down.
    let red = y + ((91881 * v + rounding) >> 16u);
    let green = y + ((rounding - 22554 * u - 46802 * v) >> 16u);
    let blue = y + ((116130 * u + rounding) >> 16u);
    let color = clamp(vec3<i32>(red, green, blue), vec3<i32>(0), vec3<i32>(255));
    // n / 255 is stored as exactly n in an 8-bit normalised channel. The
    // fourth byte is unused, and 0.
    return vec4<f32>(vec3<f32>(color), 0.0) / 255.0;
}
