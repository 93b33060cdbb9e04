//! `afterglow-session keeper`: one session's X server, its programs and its
//! worker. It outlives the server that started it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`shell`] | how it begins and ends |
//! | [`preparing`] | what is up before anybody hears of the session |
//! | [`start_link`] | what keeper and server say to each other until then |
//! | [`minding`] | the loop: minds everything of the session, ends it |
//! | [`session_dir`] | the session's own directory, and what it says |
//! | [`noted`] | processes by more than their number |
//! | [`x_server`] | Xvfb and its cookie |
//! | [`program`] | a program of the user's, and its environment |
//! | [`desktop_command`] | the desktop |
//! | [`own_choice`] | what the home says of the session |
//! | [`services`] | which services run, and when they start again (no I/O) |
//! | [`connecting`] | what services hear of DTUs (no I/O) |
//! | [`elsewhere`] | the command line of a service on another host (no I/O) |
//! | [`service_process`] | the processes of services |
//! | [`tending`] | does what the two say |
//! | [`freezing`], [`cgroup`] | that programs stand still |
//! | [`worker_process`] | the worker, started again whenever it dies |
//! | [`restarts`] | how long to wait before that (no I/O) |
//! | [`troubles`] | what the user should know |
//! | [`local_link`] | the socket on which servers come and go |
//! | [`protocol`] | what keeper and worker say to each other |
//! | [`random`] | its few random bytes |
//! | [`output`] | what programs print: a bounded file, and the last line |
//! | [`ending`] | that nothing of a session stays behind |

pub mod bus;
pub mod cgroup;
pub mod connecting;
pub mod desktop_command;
pub mod elsewhere;
pub mod ending;
pub mod freezing;
pub mod local_link;
pub mod minding;
pub mod noted;
pub mod output;
pub mod own_choice;
pub mod preparing;
pub mod program;
pub mod protocol;
pub mod random;
pub mod restarts;
pub mod service_process;
pub mod services;
pub mod session_dir;
pub mod shell;
pub mod start_link;
pub mod tending;
pub mod troubles;
pub mod worker_process;
pub mod x_server;

pub use shell::run;
