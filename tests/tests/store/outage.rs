//! A PostgreSQL that goes away under a store, and comes back.

use afterglow_server::config::{DatabaseUrl, StoreLocation};
use afterglow_server::core::{StoreAnswer, StoreOperation};
use afterglow_server::store::Store;
use afterglow_tests::postgres::Postgres;
use afterglow_tests::scratch::Scratch;
use afterglow_wire::ids::{SessionId, Token, TokenKind};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// How long a store may take to notice that its database is back.
const BACK_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_store_outlives_a_kill_of_its_database_and_uses_it_again_by_itself() -> Result<()> {
    let scratch = Scratch::new("a_store_outlives_a_kill")?;
    let mut postgres = Postgres::start(scratch.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let location = StoreLocation::Postgres(DatabaseUrl(postgres.url()));
    let store = runtime.block_on(Store::open(&location))?;
    let read = StoreOperation::Session(SessionId([7; 16]));
    let ask = || runtime.block_on(store.perform(&read, 1));
    ensure!(ask()? == StoreAnswer::Row(None));
    ensure!(store.health().is_none(), "it is there");
    postgres.kill()?;
    let error = ask().expect_err("the database is dead").to_string();
    ensure!(!error.contains(&postgres.url()), "the password stays secret: {error}");
    ensure!(store.health().is_some(), "it is away");
    postgres.start_again()?;
    let began = Instant::now();
    while store.health().is_some() {
        ensure!(began.elapsed() < BACK_WITHIN, "it is still away: {:?}", store.health());
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    }
    // Every connection of before is dead; none is used.
    for _ in 0..16 {
        ensure!(ask()? == StoreAnswer::Row(None));
    }
    let token = Token::new(TokenKind::Card, "1")?;
    let sessions = StoreOperation::SessionsOf(token);
    let answer = runtime.block_on(store.perform(&sessions, 1))?;
    ensure!(answer == StoreAnswer::Sessions { rows: Vec::new(), copies: Vec::new() });
    runtime.block_on(store.close());
    scratch.passed()
}
