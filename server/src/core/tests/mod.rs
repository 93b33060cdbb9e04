//! Servers' cores in a small world: one store, datagrams that arrive at once,
//! keepers that start when they are told.

mod behind;
mod courses;
mod desk;
mod failures;
mod moving;
mod older;
mod panel;
mod services;
mod switching;
mod world;
