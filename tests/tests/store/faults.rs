//! A full disk, and what is no database.

use crate::place::{Kind, Place, over, over_postgres, row, runtime, server, until};
use afterglow_server::config::StoreLocation;
use afterglow_server::store::{Store, StoreError};
use afterglow_tests::scratch::Scratch;
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the small disk is, for the test that runs again on one.
const DISK: &str = "AFTERGLOW_TEST_SMALL_DISK";

/// This test runs itself again, where a file system of a megabyte is mounted
/// for it alone.
#[test]
fn a_full_disk_is_told_and_passes() -> Result<()> {
    if let Some(disk) = std::env::var_os(DISK) {
        return runtime()?.block_on(fill(&PathBuf::from(disk)));
    }
    let scratch = Scratch::new("store_full_disk")?;
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.arg(if root { "-m" } else { "-Urm" });
    command.args([
        "sh",
        "-c",
        "mount -t tmpfs -o size=1m tmpfs \"$1\" && exec \"$2\" --exact \"$3\" --nocapture",
        "sh",
    ]);
    command.arg(scratch.path()).arg(std::env::current_exe()?);
    command.arg("faults::a_full_disk_is_told_and_passes").env(DISK, scratch.path());
    let output = command.output().context("cannot run 'unshare'")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    scratch.passed()
}

async fn fill(disk: &Path) -> Result<()> {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; 400 * 1024])?;
    let place = StoreLocation::Sqlite(disk.join("store.db"));
    let store = Store::open(&place).await?;
    store.next_boot(&server("mud"), 1).await?;
    let mut made = 0;
    let error = loop {
        let mut row = row(1, &format!("soft.t{made}"), "mud");
        row.id.0[..2].copy_from_slice(&u16::to_be_bytes(made));
        row.home = "x".repeat(2_000);
        match store.create(&row, true, 1).await {
            Ok(Some(_)) => made += 1,
            Ok(None) => anyhow::bail!("it is the only one"),
            Err(e) => break e,
        }
    };
    let text = error.to_string();
    ensure!(matches!(error, StoreError::Away { .. }) && text.contains("full"), "{text}");
    ensure!(text.contains("store.db") && made > 0);
    // What little there may be left goes, too.
    let mut rest = std::fs::File::create(disk.join("rest"))?;
    while rest.write_all(&[0; 512]).is_ok() {}
    // A word or two may fit still, and then the store looks well for a moment.
    until("it is said that it is full", Duration::from_secs(6), async || {
        store.create(&row(2, "soft.more", "mud"), true, 1).await.expect_err("nothing fits");
        store.health().is_some_and(|now| now.why.contains("full"))
    })
    .await?;
    ensure!(store.all_sessions().await?.len() == usize::from(made), "all are there");
    std::fs::remove_file(ballast)?;
    until("it is back", Duration::from_secs(6), async || store.health().is_none()).await?;
    ensure!(store.create(&row(2, "soft.more", "mud"), true, 1).await? == Some(1));
    store.close().await;
    let again = Store::open(&place).await?;
    ensure!(again.all_sessions().await?.len() == usize::from(made) + 1, "all are there");
    Ok(())
}

#[test]
fn postgresql_s_full_disk_is_told_and_passes() -> Result<()> {
    over(Kind::Postgres, "full", full)
}

async fn full(place: &mut Place) -> Result<()> {
    let store = place.open().await?;
    // What PostgreSQL says then, in its own words and with its own number.
    place
        .sql(
            "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN
                 RAISE EXCEPTION 'could not extend file: No space left on device'
                     USING ERRCODE = 'disk_full';
             END $$ LANGUAGE plpgsql;
             CREATE TRIGGER full_disk BEFORE INSERT ON sessions
                 FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )
        .await?;
    let error = store.create(&row(1, "soft.ada", "mud"), true, 1).await.expect_err("full");
    ensure!(matches!(error, StoreError::Away { .. }), "{error:?}");
    ensure!(error.to_string().contains("No space left"), "{error}");
    ensure!(store.health().is_some());
    place.sql("DROP TRIGGER full_disk ON sessions").await?;
    ensure!(store.create(&row(1, "soft.ada", "mud"), true, 1).await? == Some(1));
    ensure!(store.health().is_none());
    Ok(())
}

#[test]
fn what_cannot_be_a_store_is_refused_by_name() -> Result<()> {
    let scratch = Scratch::new("store_no_database")?;
    let file = scratch.path().join("letter.txt");
    std::fs::write(&file, "Dear Ada,\n".repeat(1_000))?;
    let before = std::fs::read(&file)?;
    runtime()?.block_on(async {
        for path in [&scratch.path().join("no/store.db"), &scratch.path().to_owned(), &file] {
            let error = Store::open(&StoreLocation::Sqlite(path.clone())).await;
            let error = error.expect_err("it is no store").to_string();
            ensure!(error.contains(&path.display().to_string()), "{error}");
        }
        Ok(())
    })?;
    ensure!(std::fs::read(&file)? == before, "it is as it was");
    scratch.passed()
}

#[test]
fn a_server_without_rights_in_the_database_is_told_so() -> Result<()> {
    over_postgres("rights", async |postgres, _| {
        postgres.ask("CREATE ROLE clerk LOGIN PASSWORD 'clerk'")?;
        let url = format!("postgres://clerk:clerk@127.0.0.1:{}/postgres", postgres.port());
        let began = Instant::now();
        let error = Store::open(&crate::place::location(url)).await;
        let error = error.expect_err("it may make no tables").to_string();
        ensure!(began.elapsed() < Duration::from_secs(10), "no time mends that");
        ensure!(error.contains("permission denied"), "{error}");
        Ok(())
    })
}
