//! Change to a synchronous standby: the primary is killed, the standby is
//! promoted and takes its address, and nothing that was acknowledged is gone.

use crate::load::Load;
use crate::place::{location, over_postgres, until};
use crate::proxy::Proxy;
use afterglow_server::store::Store;
use afterglow_tests::postgres::Postgres;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;

#[test]
fn no_acknowledged_write_is_lost_when_a_synchronous_standby_takes_over() -> Result<()> {
    over_postgres("standby", change)
}

async fn change(postgres: &mut Postgres, directory: &Path) -> Result<()> {
    let address = Proxy::to(postgres.port()).await?;
    let place = location(postgres.url_at("127.0.0.1", address.port()));
    let store = Store::open(&place).await?;
    let standby = postgres.standby(directory, "standby")?;
    // The site forgot to say that what is acknowledged is to last.
    postgres.set("synchronous_commit", "off")?;
    postgres.set("synchronous_standby_names", "'*'")?;
    until("the standby follows", Duration::from_secs(20), async || {
        let state = postgres.ask("SELECT sync_state FROM pg_stat_replication");
        state.is_ok_and(|state| state.trim() == "sync")
    })
    .await?;
    store.close().await;
    let store = Store::open(&place).await?;
    let load = Load::start(&store);
    load.go_on(200).await?;
    postgres.kill()?;
    until("it is noticed", Duration::from_secs(5), async || store.health().is_some()).await?;
    // Until it is promoted the standby refuses to be the store.
    address.lead_to(standby.port());
    until("a standby is no store", Duration::from_secs(5), async || {
        store.health().is_some_and(|now| now.why.contains("standby"))
    })
    .await?;
    standby.promote()?;
    load.go_on(50).await?;
    let (sessions, failures) = load.check(&store).await?;
    println!("{sessions} sessions, {failures} writes that failed");
    ensure!(failures > 0, "it was away");
    Ok(())
}
