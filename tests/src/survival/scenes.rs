//! What dies while somebody types.

use super::account::{Account, Layer, Row};
use super::eyes::Eyes;
use super::ground::{Ground, LAN, SERVERS, stands_still};
use super::hands::Hands;
use super::page::Page;
use super::play::{KEYS, Play, TOKEN};
use crate::dtu::{Dtu, DtuOptions};
use crate::events::now_us;
use crate::host::Host;
use crate::wait;
use anyhow::{Context, Result, ensure};

/// One round of all scenes, on hosts of its own.
pub fn round(test: &str, account: &mut Account) -> Result<()> {
    let ground = Ground::new(test)?;
    let screen = ground.site.screen(1280, 480)?;
    let mut play = Play::begin(ground, &screen)?;
    let mut put_down = |row: Row| {
        eprintln!("{row:?}");
        account.rows.push(row);
    };
    put_down(play.lives_on("nothing", Layer::Nothing, |_, hands, _| hands.wait_typed(KEYS))?);
    put_down(play.lives_on("server killed", Layer::Server, |play, _, _| server_killed(play))?);
    put_down(play.lives_on("rolling restart", Layer::Server, |play, _, _| rolling(play))?);
    put_down(play.lives_on("store restarted", Layer::Server, |play, hands, _| {
        play.ground.store.kill()?;
        hands.wait_typed(KEYS)?;
        play.ground.store.start()
    })?);
    put_down(play.lives_on("store's standby takes over", Layer::Server, standby_takes_over)?);
    put_down(play.lives_on("store's host cut off", Layer::Storage, storage_cut_off)?);
    put_down(play.lives_on("server killed, other desk", Layer::Server, other_desk)?);
    put_down(play.lives_on("worker killed", Layer::Worker, |play, _, _| worker_killed(play))?);
    put_down(
        play.lives_on("server and worker killed", Layer::Worker, |play, _, _| both_killed(play))?,
    );
    put_down(cut_off(&mut play)?);
    put_down(host_killed(&mut play)?);
    // What went wrong is found in the files.
    if account.faults().is_empty() { play.ground.site.passed() } else { Ok(()) }
}

fn server_killed(play: &mut Play<'_>) -> Result<()> {
    let owner = play.owner()?;
    let mark = play.dtu.events.mark()?;
    play.ground.site.host(&owner)?.kill_server()?;
    let resumed = play.dtu.events.wait_after(mark, "resumed", |_| true)?;
    ensure!(resumed.text("server") != Some(&owner), "{resumed:?}");
    start_server(play, &owner)
}

/// Starts the server of the session again, and waits until it is in charge
/// again.
fn start_server(play: &mut Play<'_>, owner: &str) -> Result<()> {
    let mark = play.dtu.events.mark()?;
    play.ground.start_server(owner)?;
    play.dtu.events.wait_after(mark, "resumed", |event| event.text("server") == Some(owner))?;
    Ok(())
}

/// Every server is ended in good order, and started again, as in an upgrade.
fn rolling(play: &mut Play<'_>) -> Result<()> {
    let owner = play.owner()?;
    for name in SERVERS {
        let mark = play.dtu.events.mark()?;
        play.ground.site.host(name)?.stop_server()?;
        if name == owner {
            play.dtu.events.wait_after(mark, "resumed", |_| true)?;
            start_server(play, name)?;
        } else {
            play.ground.start_server(name)?;
        }
    }
    Ok(())
}

fn worker_killed(play: &mut Play<'_>) -> Result<()> {
    let owner = play.owner()?;
    let mark = play.dtu.events.mark()?;
    play.ground.site.host(&owner)?.kill_workers()?;
    play.dtu.events.wait_after(mark, "first_frame", |_| true)?;
    Ok(())
}

fn both_killed(play: &mut Play<'_>) -> Result<()> {
    let owner = play.owner()?;
    let mark = play.dtu.events.mark()?;
    play.ground.site.host(&owner)?.kill_server()?;
    play.ground.site.host(&owner)?.kill_workers()?;
    let attached = play.dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!(attached.text("origin") == Some("caretaken"), "{attached:?}");
    play.dtu.events.wait_after(mark, "first_frame", |_| true)?;
    start_server(play, &owner)
}

/// The store is killed, and the standby that has all that was acknowledged takes
/// its address.
fn standby_takes_over(play: &mut Play<'_>, hands: &Hands, eyes: &Eyes) -> Result<()> {
    play.ground.store.add_standby()?;
    play.ground.store.kill()?;
    for host in &play.ground.site.hosts {
        wait_store_trouble(host, |why| !why.is_empty())?;
    }
    hands.wait_typed(KEYS)?;
    play.ground.store.promote_standby()?;
    for host in &play.ground.site.hosts {
        wait_store_trouble(host, str::is_empty)?;
    }
    // It knows the session.
    leave(&play.dtu, hands, eyes)?;
    play.dtu.toggle_card()?;
    sit_down(&play.dtu, hands, eyes)
}

/// The host of the store and the homes is out of reach for a while. What runs
/// goes on, the user may leave and come back, and who has to wait for the store
/// is told so, as the administrator is.
fn storage_cut_off(play: &mut Play<'_>, hands: &Hands, eyes: &Eyes) -> Result<()> {
    let node = play.ground.store.node().clone();
    play.ground.site.lan()?.cut(node.first())?;
    for host in &play.ground.site.hosts {
        wait_store_trouble(host, |why| !why.is_empty())?;
    }
    ensure!(play.ground.homes.try_write(&play.ground.site.hosts[0])?.is_some());
    leave(&play.dtu, hands, eyes)?;
    let desk = play.ground.site.desk(4, &LAN)?;
    let options = DtuOptions::new("desk4", "soft:grace").place(640, 0);
    let mut newcomer = play.ground.site.dtu_at(&desk, play.screen, options)?;
    newcomer
        .events
        .wait_after(0, "progress", |event| event.text("stage") == Some("waiting_for_store"))?;
    newcomer.expect_none(0, &["attached"])?;
    newcomer.quit()?;
    play.dtu.toggle_card()?;
    sit_down(&play.dtu, hands, eyes)?;
    hands.wait_typed(KEYS)?;
    let saved = eyes.page().context("a page")?.saved;
    play.ground.site.lan()?.mend(node.first())?;
    for host in &play.ground.site.hosts {
        wait_store_trouble(host, str::is_empty)?;
    }
    eyes.wait_page("the notebook saves again", |page| page.saved > saved).map(|_| ())
}

/// Waits until the server says of the store, on the administrator's question,
/// what is wanted.
fn wait_store_trouble(host: &Host, wanted: impl Fn(&str) -> bool) -> Result<()> {
    wait::until_true(&format!("{} says how the store is", host.name()), || {
        Ok(host.topology()?["store"].as_str().is_some_and(&wanted))
    })
}

/// The server is killed, and while another one cares for the session the user
/// goes to a DTU that has never shown it, types there, and comes back.
fn other_desk(play: &mut Play<'_>, hands: &Hands, eyes: &Eyes) -> Result<()> {
    let owner = play.owner()?;
    let mark = play.dtu.events.mark()?;
    play.ground.site.host(&owner)?.kill_server()?;
    play.dtu.events.wait_after(mark, "resumed", |_| true)?;
    leave(&play.dtu, hands, eyes)?;
    let desk = play.ground.site.desk(3, &LAN)?;
    let options = DtuOptions::new("desk3", TOKEN).place(640, 0);
    let mut other = play.ground.site.dtu_at(&desk, play.screen, options)?;
    sit_down(&other, hands, eyes)?;
    let attached = other.events.wait("attached")?;
    ensure!(attached.text("host") == Some(&owner), "{attached:?}");
    ensure!(attached.number("epoch") == Some(1), "{attached:?}");
    hands.wait_typed(KEYS)?;
    // Its own server is back, and takes the control of that DTU.
    let mark = other.events.mark()?;
    play.ground.start_server(&owner)?;
    other.events.wait_after(mark, "resumed", |event| event.text("server") == Some(&owner))?;
    hands.wait_typed(KEYS)?;
    leave(&other, hands, eyes)?;
    other.quit()?;
    play.dtu.toggle_card()?;
    sit_down(&play.dtu, hands, eyes)
}

/// The user takes the card, and goes once the picture is gone.
fn leave(dtu: &Dtu<'_>, hands: &Hands, eyes: &Eyes) -> Result<()> {
    hands.rest()?;
    eyes.close();
    let mark = dtu.events.mark()?;
    dtu.toggle_card()?;
    dtu.events.wait_after(mark, "removed", |_| true)?;
    wait::until_true("the picture is gone", || Ok(Page::read(&dtu.picture()?).is_none()))
}

/// Somebody looks at this DTU, and types once the session is there.
fn sit_down(dtu: &Dtu<'_>, hands: &Hands, eyes: &Eyes) -> Result<()> {
    eyes.turn_to(dtu.window());
    eyes.wait_page("the notebook is shown at the other desk", |_| true)?;
    dtu.focus()?;
    // How quickly a window opens is another matter.
    eyes.turn_to(dtu.window());
    hands.go_on();
    Ok(())
}

/// Waits until a server has logged these words after a place in its log.
fn wait_log_after(host: &Host, mark: usize, words: &str) -> Result<()> {
    let said = || host.server_log().get(mark..).unwrap_or_default().to_owned();
    wait::until_true(&format!("{}'s server says {words:?}", host.name()), || {
        Ok(said().contains(words))
    })
    .with_context(|| format!("it said:\n{}", said()))
}

/// The session's host is cut off from everything, the store and the homes
/// too, and comes back: then its copy, which is the older one, is frozen.
fn cut_off(play: &mut Play<'_>) -> Result<Row> {
    let lost = play.owner()?;
    let node = play.ground.site.host(&lost)?.node()?.clone();
    let mark = play.ground.site.host(&lost)?.server_log().len();
    let mut row = play.host_gone("cut off and healed", &lost, |play| {
        let cut_us = now_us();
        play.ground.site.lan()?.cut(node.first())?;
        Ok(cut_us)
    })?;
    let ground = &mut play.ground;
    // Alone it can write nothing: not of its session, and not into the home.
    wait_log_after(ground.site.host(&lost)?, mark, "is away")?;
    let (store, homes) = (&ground.store, &ground.homes);
    let host = ground.site.hosts.iter().find(|host| host.name() == lost).context("a host")?;
    let (stored, kept) = std::thread::scope(|scope| {
        let kept = scope.spawn(|| homes.try_write(host));
        (store.try_write(&node), kept.join())
    });
    let other = ground.site.hosts.iter().find(|host| host.name() != lost).context("a host")?;
    let fails = [store.try_write(other.node()?)?, homes.try_write(other)?];
    ensure!(fails == [None, None], "the others can write all the same: {fails:?}");
    ensure!(stored?.is_some(), "{lost} is cut off and can write to the store");
    let kept = kept.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    ensure!(kept.is_some(), "{lost} is cut off and can write into the home");
    ensure!(!stands_still(play.older_process()?), "nobody has told {lost} of the newer copy yet");

    play.ground.site.lan()?.mend(node.first())?;
    wait_log_after(play.ground.site.host(&lost)?, mark, "is frozen, until its user decides")?;
    wait::until_true("the older copy stands still", || Ok(stands_still(play.older_process()?)))?;
    row.double_sessions = play.ground.active_copies()?.saturating_sub(1) as u64;
    Ok(row)
}

/// The session's host loses its power; later it boots.
fn host_killed(play: &mut Play<'_>) -> Result<Row> {
    let lost = play.owner()?;
    let mut row = play.host_gone("host killed", &lost, |play| {
        let host = play.ground.site.host(&lost)?;
        let count = host.processes()?.len();
        ensure!(count >= 4, "server, keeper, worker, X and the programs: {count}");
        host.kill_at_once()
    })?;
    play.ground.boot(&lost)?;
    row.double_sessions = play.ground.active_copies()?.saturating_sub(1) as u64;
    Ok(row)
}
