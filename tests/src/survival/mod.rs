//! Survival (`make bench-survival`): somebody types without a pause while
//! servers, workers and hosts die, and what came of every key is counted.
//!
//! Three server hosts, a store host with a real PostgreSQL and a DTU, each with
//! a network of its own.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`hands`] | the typing, and the eyes on the window meanwhile |
//! | [`account`] | which keys arrived, and how the rounds went |
//! | [`ground`] | the hosts, the store, the program that is typed into |
//! | [`scenes`] | what dies |

use anyhow::Result;

pub mod account;
pub mod ground;
pub mod hands;
pub mod scenes;

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
    Ok(())
}
