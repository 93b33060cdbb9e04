//! Servers that want the same thing at the same time.

use crate::place::{Place, over_both, row, server, token};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::limits::SESSIONS_MAX;
use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

/// How often each race is run.
const RACES: u8 = 12;
const SERVERS: u8 = 4;

over_both!(of_racing_first_sessions_one_comes_to_be, super::first_sessions);
async fn first_sessions(place: &mut Place) -> Result<()> {
    let stores = [place.open().await?, place.open().await?];
    for race in 0..RACES {
        let of = format!("soft.t{race}");
        let mut racing = JoinSet::new();
        for racer in 0..SERVERS {
            let store = stores[usize::from(racer) % 2].clone();
            let mut row = row(0, &of, &format!("host{racer}"));
            row.id.0 = [race, racer, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            racing.spawn(async move { store.create(&row, true, 1).await.map(|made| (made, row)) });
        }
        let mut won = Vec::new();
        while let Some(racer) = racing.join_next().await {
            let (made, row) = racer??;
            won.extend(made.map(|_| row));
        }
        ensure!(won.len() == 1, "{} won", won.len());
        ensure!(stores[0].token_session(&token(&of), None).await?.0 == won.pop());
    }
    Ok(())
}

over_both!(racing_sessions_of_a_token_stay_within_the_limit, super::within_the_limit);
async fn within_the_limit(place: &mut Place) -> Result<()> {
    let stores = [place.open().await?, place.open().await?];
    let mut racing = JoinSet::new();
    for racer in 0..SESSIONS_MAX as u8 + 8 {
        let store = stores[usize::from(racer) % 2].clone();
        racing.spawn(async move { store.create(&row(racer, "soft.ada", "mud"), false, 1).await });
    }
    let mut counts = Vec::new();
    while let Some(made) = racing.join_next().await {
        counts.extend(made??);
    }
    counts.sort_unstable();
    // Each has a count of its own.
    ensure!(counts == (1..=SESSIONS_MAX as u64).collect::<Vec<_>>(), "{counts:?}");
    Ok(())
}

over_both!(of_racing_take_overs_one_wins, super::take_overs);
async fn take_overs(place: &mut Place) -> Result<()> {
    let stores = [place.open().await?, place.open().await?];
    let id = SessionId([1; 16]);
    stores[0].create(&row(1, "soft.ada", "mud"), true, 1).await?;
    for epoch in 1..=u64::from(RACES) {
        let mut racing = JoinSet::new();
        for racer in 0..SERVERS {
            let store = stores[usize::from(racer) % 2].clone();
            let owner = server(&format!("host{racer}"));
            racing.spawn(async move {
                let copy = (id, Epoch(epoch));
                // One after the other gives it away, connects, or takes over.
                let taken = store.take_over(copy, &owner, racer % 2 == 0, 2).await?;
                let _ = store.connect(copy, 2).await?;
                Ok::<_, anyhow::Error>(taken.map(|_| owner))
            });
        }
        let mut won = Vec::new();
        while let Some(racer) = racing.join_next().await {
            won.extend(racer??);
        }
        ensure!(won.len() == 1, "{won:?} won");
        let row = stores[1].session(id).await?.context("it is there")?;
        ensure!((row.epoch, Some(row.owner)) == (Epoch(epoch + 1), won.pop()));
    }
    Ok(())
}
