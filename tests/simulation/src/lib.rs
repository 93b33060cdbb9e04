//! The control plane in virtual time: real servers' decisions, real desktop
//! units' decisions, real sessions' decisions, and the bytes that they send
//! each other, over a network, a store and users that a seed makes up.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`plan`] | what a seed's world looks like, and which faults it meets |
//! | [`world`] | the world: its clock, and what happens next |
//! | [`queue`] | everything that is going to happen |
//! | [`network`], [`links`], [`stream`] | datagrams and links, cuts and losses |
//! | [`server`], [`asking`] | the shell of a server's process |
//! | [`session`] | the shell of a session's keeper and worker |
//! | [`dtu`], [`user`] | the shell of a desktop unit, and who sits before it |
//! | [`store`] | the store |
//! | [`fault`], [`faults`], [`rogue`] | what goes wrong, and who means harm |
//! | [`invariants`] | what must hold all the same |
//! | [`run`] | one seed, many seeds |
//! | [`schedule`] | the session managers alone, and a store that misbehaves |
//! | [`storm`] | ten thousand desktop units |
//! | [`random`], [`trace`] | chance, and what happened as one number |

pub mod asking;
pub mod dtu;
pub mod fault;
pub mod faults;
pub mod invariants;
pub mod links;
pub mod network;
pub mod plan;
pub mod queue;
pub mod random;
pub mod rogue;
pub mod run;
pub mod schedule;
pub mod server;
pub mod session;
pub mod store;
pub mod storm;
pub mod stream;
pub mod trace;
pub mod user;
pub mod world;
