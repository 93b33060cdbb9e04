//! Somebody types while everything dies, one thing after the other, on hosts
//! with networks of their own, a real PostgreSQL and homes on a host of their
//! own.

use afterglow_tests::survival::account::Account;
use afterglow_tests::survival::scenes;
use anyhow::{Result, ensure};

#[test]
fn no_key_and_no_program_is_lost_but_with_its_host_and_nothing_that_was_promised() -> Result<()> {
    let mut account = Account::default();
    scenes::round("survival", &mut account)?;
    println!("{}", account.table());
    let faults = account.faults();
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}
