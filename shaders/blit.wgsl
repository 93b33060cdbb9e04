// The picture on the window, with margins: as it is where the sizes are equal,
// else each pixel as a square, or blended with its neighbours. All arithmetic
// is in integers, so that every adapter shows the same bytes.

struct Blit {
    // Where the picture is on the window: left, top, width, height in pixels.
    // What is left of and above the window is cut off.
    target_rect: vec4<i32>,
    // How bright it is, of 256.
    brightness: u32,
    // Not 0 if pixels are squares.
    sharp: u32,
}

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var<uniform> blit: Blit;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle that covers everything.
    let unit = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    return vec4<f32>(unit.x * 4.0 - 1.0, 1.0 - unit.y * 4.0, 0.0, 1.0);
}

fn texel(position: vec2<i32>) -> vec4<u32> {
    return vec4<u32>(round(textureLoad(picture, position, 0) * 255.0));
}

// The source position of a target pixel's centre, in 32nds of a pixel.
fn source_32nds(target_pixel: u32, target_pixels: u32, source_pixels: u32) -> i32 {
    let centre = (2u * target_pixel + 1u) * source_pixels * 16u / target_pixels;
    return clamp(i32(centre) - 16, 0, i32(source_pixels - 1u) * 32);
}

fn scaled(at: vec2<u32>, source_size: vec2<u32>) -> vec4<u32> {
    let x = source_32nds(at.x, u32(blit.target_rect.z), source_size.x);
    let y = source_32nds(at.y, u32(blit.target_rect.w), source_size.y);
    let near = vec2<i32>(x, y) / 32;
    let far = min(near + 1, vec2<i32>(source_size) - 1);
    let part = vec2<u32>(vec2<i32>(x, y) % 32);
    let top = texel(near) * (32u - part.x) + texel(vec2<i32>(far.x, near.y)) * part.x;
    let bottom = texel(vec2<i32>(near.x, far.y)) * (32u - part.x) + texel(far) * part.x;
    return (top * (32u - part.y) + bottom * part.y + 512u) / 1024u;
}

@fragment
fn pixel(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let window = vec2<i32>(position.xy);
    let rect = blit.target_rect;
    if any(window < rect.xy) || any(window >= rect.xy + rect.zw) {
        return vec4<f32>(0.0, 0.0, 0.0, 1.0);
    }
    let at = vec2<u32>(window - rect.xy);
    let source_size = textureDimensions(picture);
    let target_size = vec2<u32>(rect.zw);
    var color: vec4<u32>;
    if all(source_size == target_size) {
        color = texel(vec2<i32>(at));
    } else if blit.sharp != 0u {
        color = texel(vec2<i32>(at * source_size / target_size));
    } else {
        color = scaled(at, source_size);
    }
    let shown = color.rgb * blit.brightness / 256u;
    return vec4<f32>(vec3<f32>(shown) / 255.0, 1.0);
}
