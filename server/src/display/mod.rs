//! The encoder: what changed on the session's screen, told at the least cost.
//! No I/O.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`encoder`] | pictures in, display commands out; knows what the DTU has |
//! | [`tiles`] | which parts of the picture differ, and their merging |
//! | [`packing`] | a rectangle's pixels as the command that takes the least |
//! | [`picture`] | what was captured, and what the DTU has |
//! | [`motion`] | what only moved: scrolls and dragged windows |
//! | [`turns`] | whose turn it is when a frame has no room for all |
//! | [`video`] | which tiles change like a video, and which the DTU has inexactly |
//! | [`sampling`] | a rectangle's pixels as luma and less chroma |
//! | [`parts`] | a frame's commands as messages within their limits |
//! | [`pacing`] | at most two frames under way |
//! | [`rate`] | what a frame may come to, for what the link takes |
//! | [`rest`] | the picture that rests is told, and compared by the DTU |

pub mod encoder;
pub mod motion;
pub mod pacing;
pub mod packing;
pub mod parts;
pub mod picture;
pub mod rate;
pub mod rest;
pub mod sampling;
pub mod tiles;
pub mod turns;
pub mod video;

pub use encoder::{Encoder, Screen};
pub use pacing::Pacing;
pub use rate::Rate;
pub use rest::Rest;
