//! Servers' cores in a small world: one store, datagrams that arrive at once,
//! keepers that start when they are told.

mod courses;
mod failures;
mod world;
