// What is behind the on-screen display while there is no picture: a dark,
// quiet gradient. All arithmetic is in integers, so that every adapter shows the
// same bytes.

@group(0) @binding(0) var<uniform> window_size: vec2<u32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let unit = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    return vec4<f32>(unit.x * 4.0 - 1.0, 1.0 - unit.y * 4.0, 0.0, 1.0);
}

@fragment
fn pixel(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let at = vec2<u32>(position.xy);
    // From the top (0) to the bottom (1024), and how near to the lower edge's
    // middle, where the glow is.
    let down = at.y * 1024u / max(window_size.y, 1u);
    let side = abs(i32(at.x * 2048u / max(window_size.x, 1u)) - 1024);
    let above = 1024 - i32(down);
    let distance = u32(side * side / 2 + above * above) / 1024u;
    let glow = 1024u - min(distance, 1024u);
    let glow_squared = glow * glow / 1024u;
    let top = vec3<u32>(13u, 16u, 28u);
    let bottom = vec3<u32>(22u, 24u, 44u);
    let warm = vec3<u32>(46u, 20u, 12u);
    let color = (top * (1024u - down) + bottom * down + warm * glow_squared + 512u) / 1024u;
    return vec4<f32>(vec3<f32>(color) / 255.0, 1.0);
}
