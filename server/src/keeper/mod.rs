//! `afterglow-session keeper`: one session's X server, its programs and its
//! worker. It outlives the server that started it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`shell`] | the loop: starts everything, minds it, ends it |
//! | [`preparing`] | what is up before anybody hears of the session |
//! | [`start_link`] | what keeper and server say to each other until then |
//! | [`x_server`] | Xvfb and its cookie |
//! | [`program`] | the user's programs: their environment, and how they start |
//! | [`desktop_command`] | the desktop, whose end is the session's |
//! | [`services`] | which services run, and what becomes of those that end (no I/O) |
//! | [`service_process`] | their processes, and the commands for a DTU's coming and going |
//! | [`freezing`] | an older copy's programs stand still |
//! | [`worker_process`] | the worker, started again whenever it dies |
//! | [`restarts`] | how long to wait before that (no I/O) |
//! | [`local_link`] | the socket on which servers come and go |
//! | [`protocol`] | what keeper and worker say to each other |
//! | [`random`] | its few random bytes |
//! | [`output`] | what programs print: a bounded file, and the last line |
//! | [`ending`] | that nothing of a session stays behind |

pub mod desktop_command;
pub mod ending;
pub mod freezing;
pub mod local_link;
pub mod output;
pub mod preparing;
pub mod program;
pub mod protocol;
pub mod random;
pub mod restarts;
pub mod service_process;
pub mod services;
pub mod shell;
pub mod start_link;
pub mod worker_process;
pub mod x_server;

pub use shell::run;
