//! A PostgreSQL that is away, and back.

use crate::load::Load;
use crate::place::{location, over_postgres, row, server, until};
use crate::proxy::Proxy;
use afterglow_server::store::{Store, StoreError};
use afterglow_tests::postgres::Postgres;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

/// How soon after its return the store is to be used again; on a busy
/// machine.
const BACK_WITHIN: Duration = Duration::from_millis(2_500);

#[test]
fn no_acknowledged_write_is_lost_when_postgresql_starts_again() -> Result<()> {
    over_postgres("restart", restart)
}

async fn restart(postgres: &mut Postgres, _: &Path) -> Result<()> {
    let store = Store::open(&location(postgres.url())).await?;
    let load = Load::start(&store);
    for kill in [false, true, false, true] {
        load.go_on(50).await?;
        match kill {
            true => postgres.kill()?,
            false => postgres.stop()?,
        }
        until("it is noticed", BACK_WITHIN, async || store.health().is_some()).await?;
        postgres.start_again()?;
        let back = load.go_on(1).await?;
        ensure!(back < BACK_WITHIN, "it was used again only after {back:?}");
    }
    let (sessions, failures) = load.check(&store).await?;
    println!("{sessions} sessions, {failures} writes that failed");
    ensure!(failures > 0, "it was away");
    ensure!(store.health().is_none(), "{:?}", store.health());
    Ok(())
}

#[test]
fn a_cut_is_ridden_out() -> Result<()> {
    over_postgres("cut", cut)
}

async fn cut(postgres: &mut Postgres, _: &Path) -> Result<()> {
    let proxy = Proxy::to(postgres.port()).await?;
    let store = Store::open(&location(postgres.url_at("127.0.0.1", proxy.port()))).await?;
    store.next_boot(&server("mud"), 1).await?;
    let load = Load::start(&store);
    load.go_on(20).await?;
    proxy.cut();
    until("it is noticed", Duration::from_secs(5), async || store.health().is_some()).await?;
    let noticed = store.health().context("it is away")?;
    ensure!(noticed.why.contains("in time"), "{noticed:?}");
    // Long enough for everybody to be in the middle of another attempt.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        let error = store.all_sessions().await.expect_err("it is cut off");
        ensure!(matches!(error, StoreError::Away { .. }), "{error:?}");
        // Nobody waits for long for what is known to be away.
        ensure!(asked.elapsed() < Duration::from_millis(2_500), "{:?}", asked.elapsed());
    }
    ensure!(store.health().is_some_and(|now| now.since_ms == noticed.since_ms));
    proxy.heal();
    let back = load.go_on(1).await?;
    println!("the first write after the cut: {back:?}");
    ensure!(back < BACK_WITHIN, "it was used again only after {back:?}");
    let (_, failures) = load.check(&store).await?;
    ensure!(failures > 0);
    // A cut that nobody noticed has spoilt what was open.
    proxy.cut();
    proxy.heal();
    let asked = Instant::now();
    store.all_sessions().await?;
    println!("the first answer after an unnoticed cut: {:?}", asked.elapsed());
    ensure!(asked.elapsed() < BACK_WITHIN, "{:?}", asked.elapsed());
    // That it is back is known before anybody asks.
    proxy.cut();
    ensure!(store.users().await.is_err());
    proxy.heal();
    until("it is seen that it is back", Duration::from_secs(6), async || store.health().is_none())
        .await?;
    // And so is that it went.
    proxy.cut();
    until("it is seen that it went", Duration::from_secs(15), async || store.health().is_some())
        .await?;
    Ok(())
}

#[test]
fn who_reads_well_and_cannot_write_is_away() -> Result<()> {
    over_postgres("read_only", read_only)
}

async fn read_only(postgres: &mut Postgres, directory: &Path) -> Result<()> {
    let store = Store::open(&location(postgres.url())).await?;
    store.next_boot(&server("mud"), 1).await?;
    postgres.set("default_transaction_read_only", "on")?;
    let mut number = 100;
    until("it is noticed", Duration::from_secs(5), async || {
        number += 1;
        let row = row(number, &format!("soft.t{number}"), "mud");
        store.create(&row, true, 1).await.is_err()
    })
    .await?;
    ensure!(store.health().is_some());
    postgres.set("default_transaction_read_only", "off")?;
    until("it is back", Duration::from_secs(6), async || store.health().is_none()).await?;
    let mine = row(1, "soft.ada", "mud");
    store.create(&mine, true, 1).await?;
    // A standby is no store.
    let standby = postgres.standby(directory, "standby")?;
    let error = Store::open_within(&location(standby.url()), Duration::ZERO).await;
    let error = error.expect_err("it cannot be written to").to_string();
    ensure!(error.contains("standby"), "{error}");
    // Who waits for a standby that is gone has written nothing yet; readers
    // go on.
    postgres.set("synchronous_standby_names", "'*'")?;
    drop(standby);
    until("no write is acknowledged", Duration::from_secs(9), async || {
        store.connect((mine.id, mine.epoch), 2).await.is_err()
    })
    .await?;
    for _ in 0..3 {
        ensure!(store.token_session(&mine.token, None).await?.0.is_some());
        ensure!(store.health().is_some(), "it is not back until it can be written to");
    }
    Ok(())
}

#[test]
fn a_server_that_starts_waits_for_its_store_and_says_what_is_wrong_with_it() -> Result<()> {
    over_postgres("start", start)
}

async fn start(postgres: &mut Postgres, _: &Path) -> Result<()> {
    let place = location(postgres.url());
    postgres.stop()?;
    let began = Instant::now();
    let error = Store::open_within(&place, Duration::from_millis(500)).await;
    let error = error.expect_err("it is away").to_string();
    ensure!(began.elapsed() >= Duration::from_millis(500), "it did not wait");
    let named = error.contains(&place.to_string()) && error.contains("refused");
    ensure!(named, "{error}");
    let opening = Store::open(&place);
    let starting = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        tokio::task::block_in_place(|| postgres.start_again())
    };
    let (opened, started) = tokio::join!(opening, starting);
    started?;
    ensure!(opened?.all_sessions().await?.is_empty());
    // What no time mends is told at once, without the password.
    let wrong = postgres.url().replacen("afterglow:", "afterglow:wrong", 1);
    let began = Instant::now();
    let error = Store::open(&location(wrong)).await.expect_err("a wrong password").to_string();
    ensure!(began.elapsed() < Duration::from_secs(5));
    let named = error.contains(&place.to_string()) && error.contains("authentication");
    ensure!(named && !error.contains(":wrong"), "{error}");
    let error = Store::open(&location("postgres://a b@[".into())).await.expect_err("no URL");
    ensure!(error.to_string().contains("cannot be opened"), "{error}");
    Ok(())
}
