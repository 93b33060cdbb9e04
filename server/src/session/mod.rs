//! Session manager: where a token's session is, or where it is to run. No
//! I/O: what is known comes in, what is to be done goes out.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`table`] | which sessions run on this host, and which of them count |
//! | [`placement`] | what becomes of one insert |
//! | [`act`] | – what a placement asks and is told |
//! | [`notice`] | – what a user is told about its outcome |
//! | [`care`] | which DTUs go back to their session's own server, and when |

pub mod act;
pub mod care;
pub mod notice;
pub mod placement;
pub mod table;
