//! Survival (`make bench-survival`): somebody types without a pause while
//! servers, workers and hosts die, and what came of every key is counted.
//!
//! Three server hosts, a host with the store (a real PostgreSQL) and the homes
//! (sshfs), and the DTUs, each with a network of its own.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`scenes`] | what dies |
//! | [`play`] | playing a scene, and putting down what came of it |
//! | [`ground`] | the hosts, the store |
//! | [`home`] | the users' homes, served and mounted |
//! | [`hands`] | the typing |
//! | [`keyboard`] | what is typed, and which keys make it |
//! | [`eyes`] | the window, with times |
//! | [`notebook`] | the program that is typed into |
//! | [`page`] | what it draws |
//! | [`notes`] | what it notes |
//! | [`tally`] | what was typed against what was received |
//! | [`account`] | the rows, the table, the last line |

use anyhow::{Result, ensure};

pub mod account;
pub mod eyes;
pub mod ground;
pub mod hands;
pub mod home;
pub mod keyboard;
pub mod notebook;
pub mod notes;
pub mod page;
pub mod play;
pub mod scenes;
pub mod store;
mod tally;

use account::Account;

/// How many rounds there are unless `ROUNDS` says otherwise.
const ROUNDS: u64 = 20;

/// Measures, and prints what was measured. The last line is for programs.
pub fn run() -> Result<()> {
    let rounds = crate::bench::from_environment("ROUNDS", ROUNDS)?;
    println!("Measured on {}", crate::bench::machine::today_here());
    let mut account = Account::default();
    for round in 1..=rounds {
        scenes::round(&format!("bench-survival-{round}"), &mut account)?;
    }
    print!("{}", account.table());
    println!("{}", account.last_line(rounds));
    let wrong = [account.faults(), account.late()].concat();
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}
