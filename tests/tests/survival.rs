//! Somebody types while everything dies, one thing after the other, on hosts
//! with networks of their own and a real PostgreSQL.

use afterglow_tests::survival::account::{Account, Layer};
use afterglow_tests::survival::scenes;
use anyhow::{Result, ensure};

#[test]
fn no_key_and_no_program_is_lost_but_with_its_host_and_nothing_that_was_written() -> Result<()> {
    let mut account = Account::default();
    scenes::round("survival", &mut account)?;
    println!("{}", account.table());
    for row in &account.rows {
        let lives = row.layer != Layer::Host;
        ensure!((row.lost, row.doubled) == (0, 0), "{row:?}");
        ensure!(!lives || row.programs_lost == 0, "{row:?}");
        ensure!((row.writes_lost, row.double_sessions) == (0, 0), "{row:?}");
    }
    ensure!(account.rows.len() == 7, "{account:?}");
    Ok(())
}
