//! What is written is read, epochs fence, listings end, and what is not valid
//! is told by name.

use crate::place::{Place, over_both, row, server, token};
use afterglow_server::store::{CopyRow, Store, StoreError, Wish};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::limits::SESSIONS_MAX;
use anyhow::{Result, ensure};

over_both!(a_session_is_read_as_it_was_written, super::as_written);
async fn as_written(place: &mut Place) -> Result<()> {
    let (one, two) = (place.open().await?, place.open().await?);
    let mut mine = row(1, "soft.ada", "mud");
    let copy = (mine.id, mine.epoch);
    ensure!(one.create(&mine, true, 1_000).await? == Some(1));
    ensure!(two.session(mine.id).await? == Some(mine.clone()));
    mine.endpoint = Some("127.0.0.1:7100".parse()?);
    mine.changed_ms = 1_001;
    mine.services = vec!["mail".parse()?, "news.2_x-y".parse()?];
    mine.name = "x'; DROP TABLE sessions; --".into();
    mine.wish = Some(Wish::Move(server("host05")));
    ensure!(one.set_endpoint(copy, &mine.owner, mine.endpoint, 1_001).await?);
    ensure!(one.set_services(copy, &mine.owner, &mine.services, 1_001).await?);
    ensure!(one.rename(copy, &mine.name).await?);
    ensure!(one.set_wish(copy, mine.wish.as_ref()).await?);
    ensure!(two.token_session(&mine.token, None).await? == (Some(mine.clone()), None));
    // What no database takes is no reason to count it as away.
    ensure!(one.rename(copy, "nul\0l").await?);
    mine.name = "null".into();
    ensure!(two.all_sessions().await? == [mine]);
    ensure!(one.health().is_none());
    Ok(())
}

over_both!(a_token_s_sessions_are_listed_the_last_connected_first, super::ordered);
async fn ordered(place: &mut Place) -> Result<()> {
    let store = place.open().await?;
    for id in 1..=SESSIONS_MAX as u8 {
        ensure!(store.create(&row(id, "soft.ada", "mud"), false, 1).await? == Some(id.into()));
    }
    // There is no room for more; and there are others.
    ensure!(store.create(&row(100, "soft.ada", "mud"), false, 1).await?.is_none());
    ensure!(store.create(&row(101, "soft.bob", "mud"), true, 1).await? == Some(1));
    // What did not come to be did not count.
    let connected = SessionId([7; 16]);
    let count = store.connect((connected, Epoch::FIRST), 2).await?;
    ensure!(count == Some(SESSIONS_MAX as u64 + 1));
    let ids: Vec<_> = store.sessions_of(&token("soft.ada")).await?;
    let mut ids: Vec<u8> = ids.iter().map(|row| row.id.0[0]).collect();
    ensure!(ids.remove(0) == 7);
    ensure!(ids.is_sorted_by(|a, b| a > b) && ids.len() == SESSIONS_MAX - 1, "{ids:?}");
    let wanted = SessionId([3; 16]);
    let (third, _) = store.token_session(&token("soft.ada"), Some(wanted)).await?;
    ensure!(third.is_some_and(|row| row.id == wanted));
    // Another's session is none of this token's.
    let bobs = Some(SessionId([101; 16]));
    ensure!(store.token_session(&token("soft.ada"), bobs).await?.0.is_none());
    ensure!(store.all_sessions().await?.len() == SESSIONS_MAX + 1);
    // One that is over makes room.
    ensure!(store.end((wanted, Epoch::FIRST), &server("mud"), 3).await?);
    ensure!(store.create(&row(100, "soft.ada", "mud"), false, 4).await?.is_some());
    ensure!(store.session(wanted).await?.is_some_and(|row| row.ended));
    Ok(())
}

over_both!(a_stale_epoch_writes_nothing, super::stale);
async fn stale(place: &mut Place) -> Result<()> {
    let (one, two) = (place.open().await?, place.open().await?);
    let mine = row(1, "soft.ada", "mud");
    let (old, new) = ((mine.id, Epoch(1)), (mine.id, Epoch(2)));
    one.create(&mine, true, 1_000).await?;
    ensure!(two.take_over(old, &server("host05"), true, 2_000).await? == Some(2));
    ensure!(one.take_over(old, &server("host21"), true, 2_001).await?.is_none());
    ensure!(one.connect(old, 3_000).await?.is_none());
    let endpoint = Some("127.0.0.1:7100".parse()?);
    ensure!(!one.set_endpoint(old, &mine.owner, endpoint, 3_000).await?);
    ensure!(!one.set_services(old, &mine.owner, &[], 3_000).await?);
    ensure!(!one.rename(old, "mine").await? && !one.set_wish(old, Some(&Wish::End)).await?);
    ensure!(!one.hand_over(old, &mine.owner, &mine.owner, 3_000).await?);
    ensure!(!one.end(old, &mine.owner, 3_000).await?);
    // Nor with the new epoch, which is not its own.
    ensure!(!one.end(new, &mine.owner, 3_000).await?);
    let now = two.session(mine.id).await?.expect("it is there");
    ensure!((now.epoch, now.connection, now.changed_ms) == (Epoch(2), 2, 2_000), "{now:?}");
    // The older copy is noted, and decided about.
    let copy = CopyRow {
        session: mine.id,
        epoch: Epoch(1),
        owner: mine.owner.clone(),
        token: mine.token.clone(),
        name: mine.name.clone(),
        since_ms: 2_500,
        wish: None,
    };
    ensure!(one.note_copy(&copy).await? && !one.note_copy(&copy).await?);
    ensure!(!one.note_copy(&CopyRow { epoch: Epoch(2), ..copy.clone() }).await?);
    ensure!(two.set_copy_wish(old, &Wish::Continue).await?);
    let wished = [CopyRow { wish: Some(Wish::Continue), ..copy }];
    ensure!(one.copies_at(&mine.owner).await? == wished);
    ensure!(two.copies_of(&mine.token).await? == wished);
    ensure!(two.all_copies().await? == wished);
    ensure!(!one.forget_copy(old, &server("host05")).await?);
    ensure!(one.forget_copy(old, &mine.owner).await? && two.all_copies().await?.is_empty());
    Ok(())
}

over_both!(boot_numbers_only_grow, super::boots);
async fn boots(place: &mut Place) -> Result<()> {
    let store = place.open().await?;
    let mud = server("mud");
    ensure!(store.next_boot(&mud, 1_000).await? == 1_000);
    // A clock that went back.
    ensure!(store.next_boot(&mud, 500).await? == 1_001);
    ensure!(store.next_boot(&mud, 2_000).await? == 2_000);
    Ok(())
}

over_both!(a_corrupt_row_is_named_and_spoils_no_listing, super::corrupt);
async fn corrupt(place: &mut Place) -> Result<()> {
    let store = place.open().await?;
    for id in 1..=3 {
        store.create(&row(id, "soft.ada", "mud"), false, 1).await?;
    }
    store.create(&row(4, "soft.bob", "mud"), false, 1).await?;
    let changes = [
        ("size", "'huge'"),
        ("services", "'[1]'"),
        ("epoch", "-1"),
        ("owner", "'no such name!'"),
        ("endpoint", "'nowhere'"),
        ("desktop", "'['"),
        ("wish", "'more'"),
        ("id", "'0303'"),
    ];
    for (column, value) in changes {
        let id = SessionId([3; 16]);
        place.sql(&format!("UPDATE sessions SET {column} = {value} WHERE id = '{id}'")).await?;
        // Its token has a session, of which nothing is known: no new one.
        let error = store.token_session(&token("soft.ada"), None).await;
        let error = error.expect_err("it is not valid").to_string();
        let named = error.contains(&place.location.to_string())
            && error.contains(&format!("session {}", if column == "id" { "0303" } else { "03" }))
            && error.contains(column);
        ensure!(named, "{column}: {error}");
        ensure!(store.create(&row(9, "soft.ada", "mud"), true, 1).await?.is_none());
        let ids: Vec<u8> = store.all_sessions().await?.iter().map(|row| row.id.0[0]).collect();
        ensure!(ids == [2, 1, 4], "{column}: {ids:?}");
        ensure!(store.sessions_of(&token("soft.ada")).await?.len() == 2);
        // The database itself is well.
        ensure!(store.health().is_none());
        if column != "id" {
            let good = row(3, "soft.ada", "mud");
            place
                .sql(&format!(
                    "UPDATE sessions SET size = '1280x720', services = '[]', epoch = 1,
                         owner = '{}', endpoint = NULL, desktop = '[\"x\"]', wish = NULL
                     WHERE id = '{}'",
                    good.owner, good.id
                ))
                .await?;
            ensure!(store.all_sessions().await?.len() == 4);
        }
    }
    Ok(())
}

over_both!(a_newer_or_a_changed_schema_is_refused_by_name, super::newer);
async fn newer(place: &mut Place) -> Result<()> {
    place.open().await?.close().await;
    place
        .sql(
            "INSERT INTO _sqlx_migrations
                 (version, description, success, checksum, execution_time)
             SELECT 9999, 'of the future', success, checksum, 0 FROM _sqlx_migrations",
        )
        .await?;
    let error = Store::open(&place.location).await.expect_err("it is newer");
    ensure!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
    let text = error.to_string();
    ensure!(text.contains(&place.location.to_string()) && text.contains("upgrade"), "{text}");
    place.sql("DELETE FROM _sqlx_migrations WHERE version = 9999").await?;
    place.open().await?;
    Ok(())
}

over_both!(servers_that_start_together_make_the_tables_once, super::together);
async fn together(place: &mut Place) -> Result<()> {
    let open = || Store::open(&place.location);
    let (one, two, three, four) = tokio::join!(open(), open(), open(), open());
    for opened in [one, two, three, four] {
        ensure!(opened?.all_sessions().await?.is_empty());
    }
    Ok(())
}
