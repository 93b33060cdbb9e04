//! A session from end to end: real X server, real programs, real display
//! link, and a DTU without a window.

mod attaching;
mod dtu;
mod ending;
mod harness;
mod holding;
mod older;
mod services;
mod showing;
mod warm;
