//! What the end-to-end tests and the demo are made of: real X servers, real
//! servers, real DTUs, looked at from outside.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`wait`] | waiting for something that can be seen, with a deadline |
//! | [`programs`] | where the programs and Debian's files are |
//! | [`unpacked`] | Debian's programs that only tests need |
//! | [`process`] | child processes that end with their owner |
//! | [`scratch`] | a directory for one test; what is left of it on failure |
//! | [`ports`] | ports that no other test has |
//! | [`xauthority`] | X cookies |
//! | [`screen`] | a private X server: windows, keys, pointer |
//! | [`picture`] | pixels: compare, find a word, write PNGs |
//! | [`glyphs`] | a word as xterm draws it |
//! | [`keys`] | a person's hands: which keys make a text |
//! | [`site`] | a group of hosts with one store and one home folder |
//! | [`netns`] | hosts with networks of their own: cables, captures, bad weather |
//! | [`host`] | one host: its server, its sessions, its sudden death |
//! | [`postgres`] | a PostgreSQL of the test's own |
//! | [`session`] | a session's own X server, asked directly |
//! | [`squares`] | bytes that are read from a window's pixels |
//! | [`sshd`] | a real sshd on a host of its own |
//! | [`events`] | a DTU's event log |
//! | [`dtu`] | a DTU and its window |
//! | [`scripted`] | a DTU without a window, for what a real one never does |
//! | [`rogue`] | a server and a session that say whatever a test wants |
//! | [`demo`] | the demo: the story, and a person's hands |
//! | [`mod@bench`] | kill to pixels: what `make bench-failover` measures |
//! | [`survival`] | typing while everything dies: what `make bench-survival` measures |
//! | [`reader`] | a private card reader and the card in it |
#![forbid(unsafe_code)]

pub mod bench;
pub mod demo;
pub mod dtu;
pub mod events;
pub mod glyphs;
pub mod host;
pub mod keys;
pub mod netns;
pub mod picture;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod reader;
pub mod rogue;
pub mod scratch;
pub mod screen;
pub mod scripted;
pub mod session;
pub mod site;
pub mod squares;
pub mod sshd;
pub mod survival;
pub mod unpacked;
pub mod wait;
pub mod xauthority;
