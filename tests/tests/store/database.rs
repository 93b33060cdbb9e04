//! The tests' own PostgreSQL.

use afterglow_tests::postgres::Postgres;
use afterglow_tests::scratch::Scratch;
use anyhow::{Result, ensure};

#[test]
fn a_killed_postgresql_starts_again_and_a_standby_takes_its_place() -> Result<()> {
    let scratch = Scratch::new("a_killed_postgresql_starts_again")?;
    let mut one = Postgres::start(scratch.path())?;
    one.ask("CREATE TABLE words (word TEXT); INSERT INTO words VALUES ('kept')")?;
    one.kill()?;
    ensure!(one.ask("SELECT 1").is_err(), "it is dead");
    one.start_again()?;
    ensure!(one.ask("SELECT word FROM words")? == "kept\n", "it has what it had");
    let other = one.standby(scratch.path(), "standby")?;
    ensure!(other.ask("SELECT word FROM words")? == "kept\n", "the standby has it, too");
    one.kill()?;
    other.promote()?;
    other.ask("INSERT INTO words VALUES ('more')")?;
    scratch.passed()
}
