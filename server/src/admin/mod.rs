//! The admin link: what an administrator asks a server on its host, and sees.
//!
//! A Unix socket, one JSON object a line each way.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`protocol`] | requests and responses, their lines and limits |
//! | [`listen`] | the server's end |
//! | [`socket`] | the socket's file: made, shared with a group, replaced, refused |
//! | [`ask`] | the end of `afterglowctl` |
//! | [`table`] | the topology as a table |
//! | [`watch`] | the same, again and again |
//! | [`sessions`] | sessions, services and users as they are told of |
//! | [`sessions_table`] | the same as tables |
//! | [`commands`] | what `afterglowctl` does about them |

pub mod ask;
pub mod commands;
pub mod listen;
pub mod protocol;
pub mod sessions;
pub mod sessions_table;
pub mod socket;
pub mod table;
pub mod watch;
