//! What must hold for any message and for any bytes.

mod coding;
mod corpus;
mod framebuffer;
mod group_messages;
mod messages;
mod round_trip;
mod tickets;
