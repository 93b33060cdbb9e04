// FILL: one colour for every pixel of a rectangle. Each instance is one FILL;
// they are drawn in the order of the commands.

struct Fill {
    // Left, top, width, height in pixels.
    @location(0) rect: vec4<u32>,
    // Blue, green, red, unused.
    @location(1) color: vec4<u32>,
    // The framebuffer's width and height in pixels.
    @location(2) size: vec2<u32>,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) color: vec4<u32>,
}

@vertex
fn corner(@builtin(vertex_index) index: u32, fill: Fill) -> Corner {
    let pixel = fill.rect.xy + fill.rect.zw * vec2<u32>(index & 1u, index >> 1u);
    let unit = vec2<f32>(pixel) / vec2<f32>(fill.size);
    var out: Corner;
    out.position = vec4<f32>(unit.x * 2.0 - 1.0, 1.0 - unit.y * 2.0, 0.0, 1.0);
    out.color = fill.color;
    return out;
}

// n / 255 is stored as exactly n in an 8-bit normalised channel.
@fragment
fn pixel(in: Corner) -> @location(0) vec4<f32> {
    return vec4<f32>(in.color.zyxw) / 255.0;
}
