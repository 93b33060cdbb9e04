//! Every message of Afterglow: its layout, its limits, its signature. No I/O.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`codec`] | the binary codec that all links but the group's use |
//! | [`limits`] | every bound on what a peer can make us hold |
//! | [`ids`] | tokens, sessions, epochs, servers, DTUs, groups |
//! | [`control`] | messages between a DTU and `afterglow-server` |
//! | [`display`] | messages between a DTU and `afterglow-session` |
//! | [`command`] | the display commands: SET, BITMAP, FILL, COPY, CSCS, CURSOR, SIZE |
//! | [`coding`] | how their payloads are packed |
//! | [`framebuffer`] | what the display commands mean, pixel by pixel |
//! | [`quality`] | how exact the picture is while it changes |
//! | [`truth`] | whether the DTU's picture is the session's |
//! | [`input`] | keys, pointer, wheel |
//! | [`sessions`] | the control link's messages about a token's sessions |
//! | [`service`] | services of a session |
//! | [`local`] | messages between a server and the sessions on its host |
//! | [`group`] | the group's text messages, and their HMAC-SHA1 signature |
//! | [`ticket`] | signed permissions: attach, redirect, resume |
//! | [`guard`] | the checks that a simulation can take away, to show that it notices |
//! | [`trust`] | what the group key yields, and the names in certificates |
#![forbid(unsafe_code)]

#[macro_use]
pub mod codec;
pub mod coding;
pub mod command;
pub mod control;
pub mod display;
pub mod framebuffer;
pub mod group;
pub mod guard;
pub mod ids;
pub mod input;
pub mod limits;
pub mod local;
pub mod quality;
pub mod service;
pub mod sessions;
pub mod ticket;
pub mod trust;
pub mod truth;
