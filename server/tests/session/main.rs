//! A session from end to end: real X server, real programs, real display
//! link, and a DTU without a window.

mod attaching;
mod bad_input;
mod dtu;
mod ending;
mod freezing;
mod harness;
mod holding;
mod own_choice;
mod quality;
mod services;
mod showing;
mod warm;
mod workers;
