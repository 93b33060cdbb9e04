//! Silence on either link, on both, and silence that was only a delay.

use super::*;
use crate::connection::suspicion::SECOND_LOOK_MS;

const SHOWING: Option<Showing> = Some(Showing { session: SESSION, epoch: Epoch(1) });

fn suspected(dtu: &Dtu, link: &str) -> usize {
    let of = |event: &&Logged| matches!(event, Logged::Suspected { link: l, .. } if *l == link);
    dtu.logged.iter().filter(of).count()
}

fn false_alarms(dtu: &Dtu, link: &str) -> usize {
    let of = |event: &&Logged| matches!(event, Logged::FalseAlarm { link: l, .. } if *l == link);
    dtu.logged.iter().filter(of).count()
}

/// Lets time pass until something holds; gives how long that took.
fn until(dtu: &mut Dtu, alive: bool, holds: impl Fn(&Dtu) -> bool) -> u64 {
    let start_ms = dtu.now_ms;
    while !holds(dtu) {
        assert!(dtu.now_ms < start_ms + 30_000, "it never holds");
        dtu.pass(5, alive);
    }
    dtu.now_ms - start_ms
}

#[test]
fn a_quiet_server_is_suspected_after_a_quarter_of_a_second() {
    let mut dtu = Dtu::settled();
    let took_ms = until(&mut dtu, false, |dtu| suspected(dtu, "control") == 1);
    // The last `Alive` may be up to 100 ms old when the server stops.
    assert!((150..=300).contains(&took_ms), "{took_ms}");
    let limit = dtu.logged.iter().find_map(|event| match event {
        Logged::Suspected { limit_ms, silent_ms, .. } => Some((*limit_ms, *silent_ms)),
        _ => None,
    });
    let (limit_ms, silent_ms) = limit.unwrap();
    assert!((200..=300).contains(&limit_ms) && silent_ms <= limit_ms + SECOND_LOOK_MS);
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
}

#[test]
fn a_dead_host_is_told_within_300_ms_and_asked_about_without_showing() {
    let mut dtu = Dtu::settled();
    dtu.session_alive = false;
    let took_ms = until(&mut dtu, false, |dtu| dtu.picture() == Picture::Dimmed);
    assert!(took_ms <= 300, "{took_ms}");
    let Some(Panel::ServerSilent { host, trying, for_ms }) = dtu.panel() else {
        panic!("{:?}", dtu.panel());
    };
    assert_eq!((host, trying.as_deref()), (&name("mud"), Some("host05")));
    assert!((200..=300).contains(for_ms), "{for_ms}");
    dtu.greet("host05");
    let inserts = dtu.inserts();
    assert_eq!((inserts.len(), inserts[0].showing), (1, None));
    // Its time goes on in tenths, and it never comes back as a live picture.
    assert!(matches!(dtu.panel(), Some(Panel::Resuming { .. })));
    for _ in 0..20 {
        dtu.pass(50, false);
        assert_eq!(dtu.picture(), Picture::Dimmed);
    }
    assert!(matches!(dtu.panel(), Some(Panel::Resuming { for_ms, .. }) if *for_ms >= 1_200));
}

#[test]
fn a_young_link_that_fell_silent_and_ended_is_told_at_once() {
    let ends = [(0, Picture::Live), (500, Picture::Dimmed)];
    // The second one fell silent before its first word.
    for ((silent_ms, picture), spoke) in
        ends.into_iter().flat_map(|end| [(end, true), (end, false)])
    {
        let mut dtu = Dtu::attached();
        dtu.session_alive = spoke;
        dtu.pass(200, true);
        dtu.control_dies();
        dtu.greet("host05");
        dtu.control(attach(101, "mud", 1, Origin::Caretaken));
        dtu.session_alive = false;
        dtu.pass(silent_ms, true);
        dtu.display_dies();
        assert_eq!((suspected(&dtu, "display"), dtu.picture()), (0, picture));
    }
}

#[test]
fn an_insert_that_counted_on_the_picture_is_sent_again_without_it() {
    // The session's last word came later than the server's, so that the new
    // server was asked, and may have answered, while the picture seemed fine.
    for answered in [false, true] {
        let mut dtu = Dtu::settled();
        until(&mut dtu, false, |dtu| suspected(dtu, "control") == 1);
        dtu.session_alive = false;
        dtu.greet("host05");
        let inserts = dtu.inserts();
        assert_eq!((inserts.len(), inserts[0].showing), (1, SHOWING));
        if answered {
            dtu.control(attach(101, "mud", 1, Origin::Caretaken));
        }
        let took_ms = until(&mut dtu, false, |dtu| suspected(dtu, "display") == 1);
        assert!(took_ms <= 300, "{took_ms}");
        assert_eq!(dtu.picture(), Picture::Dimmed, "the host is lost: no grace");
        let inserts = dtu.inserts();
        assert_eq!((inserts.len(), inserts[0].insert, inserts[0].showing), (1, 101, None));
        assert_eq!(inserts[0].unreachable[..], [name("mud")], "nobody waits for its word");
        // The take-over is the server's own decision.
        dtu.control(attach(101, "host05", 2, Origin::TakenOver));
        dtu.session_comes(None);
        assert_eq!(dtu.picture(), Picture::Live);
    }
}

#[test]
fn a_picture_that_was_only_late_is_live_again_as_if_nothing_had_happened() {
    let mut dtu = Dtu::settled();
    let link = dtu.display;
    dtu.session_alive = false;
    let took_ms = until(&mut dtu, true, |dtu| suspected(dtu, "display") == 1);
    assert!(took_ms <= 300, "{took_ms}");
    // The server answers, so there is a grace.
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
    dtu.pass(450, true);
    assert_eq!(dtu.picture(), Picture::Dimmed);
    assert!(matches!(dtu.panel(), Some(Panel::SessionSilent { for_ms, .. }) if *for_ms >= 600));
    assert_eq!(dtu.take().iter().filter(|a| matches!(a, Action::SendControl { .. })).count(), 0);
    dtu.frame(2);
    assert_eq!((dtu.picture(), dtu.panel(), dtu.badge()), (Picture::Live, None, None));
    assert_eq!((false_alarms(&dtu, "display"), dtu.logged("detached")), (1, 0));
    dtu.show_frames();
    assert_eq!(dtu.sent_display(), [FrameShown { number: 2 }.into()]);
    // A part of a frame is as good as a frame.
    until(&mut dtu, true, |dtu| suspected(dtu, "display") == 2);
    dtu.event(Event::DisplayHeard { link });
    assert_eq!(false_alarms(&dtu, "display"), 2);
    assert_eq!(dtu.display, link);
}

#[test]
fn a_picture_that_stays_silent_is_asked_for_again() {
    let mut dtu = Dtu::settled();
    dtu.session_alive = false;
    let took_ms = until(&mut dtu, true, |dtu| !dtu.display_open);
    assert!((1_300..=1_600).contains(&took_ms), "{took_ms}");
    let inserts = dtu.inserts();
    assert_eq!((inserts.len(), inserts[0].showing), (1, None));
    assert!(matches!(dtu.panel(), Some(Panel::SessionSilent { .. })));
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.session_comes(Some(InputDone { attachment: 1, seq: 0 }));
    assert_eq!((dtu.picture(), dtu.panel()), (Picture::Live, None));
}

#[test]
fn a_session_that_never_said_that_it_lives_is_not_suspected() {
    let mut dtu = Dtu::attached();
    dtu.pass(60_000, true);
    assert_eq!((dtu.logged("suspected"), dtu.picture()), (0, Picture::Live));
}

#[test]
fn a_server_that_was_only_late_is_in_charge_again() {
    let mut dtu = Dtu::settled();
    until(&mut dtu, false, |dtu| suspected(dtu, "control") == 1);
    let (link, mud) = (LinkId(1), name("mud"));
    assert_eq!(dtu.badge(), Some(&Badge::ControlLost { server: mud }));
    assert_eq!(dtu.opening(), Some(address("host05")));
    dtu.take();
    dtu.event(Event::Control { link, message: Alive { seq: 9, resume: None }.into() });
    assert_eq!((dtu.badge(), dtu.opening()), (None, None));
    assert_eq!((false_alarms(&dtu, "control"), dtu.logged("server_lost")), (1, 0));
    let closed = |a: &Action| matches!(a, Action::CloseControl { .. });
    assert_eq!(dtu.take().iter().filter(|a| closed(a)).count(), 1, "the attempt");
    // Nobody was asked for the session meanwhile, and it is still said to live.
    dtu.control = link;
    dtu.pass(3_000, true);
    assert_eq!(dtu.inserts(), []);
    assert_eq!(suspected(&dtu, "control"), 1);
}

#[test]
fn a_remove_in_doubt_is_told_to_the_silent_server_and_to_the_next() {
    let mut dtu = Dtu::settled();
    until(&mut dtu, false, |dtu| suspected(dtu, "control") == 1);
    dtu.take();
    dtu.remove();
    let told = ToServer::Remove(Remove { insert: 101 });
    let on = |link: LinkId| {
        let message = told.clone();
        move |action: &Action| *action == Action::SendControl { link, message: message.clone() }
    };
    assert!(dtu.take().iter().any(on(LinkId(1))));
    dtu.greet("host05");
    let link = dtu.control;
    assert!(dtu.take().iter().any(on(link)));
}

#[test]
fn a_silent_server_without_another_is_given_up_in_time() {
    let mut dtu = Dtu::settled();
    let took_ms = until(&mut dtu, false, |dtu| dtu.logged("server_lost") == 1);
    assert!((2_900..=3_100).contains(&took_ms), "{took_ms}");
    assert_eq!(dtu.picture(), Picture::Live);
}

#[test]
fn a_lone_server_that_was_only_late_keeps_its_link() {
    let mut dtu = Dtu::configured(|_| ());
    dtu.found("mud");
    dtu.greet("mud");
    let link = dtu.control;
    for stall_ms in [400, 700, 900] {
        dtu.pass(31_000, true);
        dtu.pass(stall_ms, false);
        assert!(dtu.badge().is_none() && dtu.connection.up().is_none(), "{stall_ms}");
    }
    dtu.pass(100, true);
    assert_eq!((dtu.logged("connected"), dtu.control), (1, link));
    // One that was started again is found at its address.
    until(&mut dtu, false, |dtu| dtu.control != link);
    dtu.greet("mud");
    assert_eq!((dtu.logged("connected"), dtu.logged("server_lost")), (2, 1));
}

/// When words that are said every 100 ms arrive over a stream: each is late
/// by up to `jitter_ms`, lost ones are sent again after 250 to 550 ms, and
/// none overtakes another.
fn arrivals_ms(words: u64, jitter_ms: u64, loss_percent: u64, seed: u64) -> Vec<u64> {
    let mut random = Jitter::new(seed);
    let mut last_ms = 0;
    (0..words)
        .map(|word| {
            let mut sent_ms = word * 100;
            while random.below(100) < loss_percent {
                sent_ms += 250 + random.below(300);
            }
            last_ms = last_ms.max(sent_ms + random.below(jitter_ms + 1));
            last_ms
        })
        .collect()
}

/// An hour of both links' words; gives how often each was suspected.
fn hour(jitter_ms: u64, loss_percent: u64) -> (usize, usize) {
    let mut dtu = Dtu::attached();
    let (link, start_ms) = (dtu.control, dtu.now_ms + 100);
    let control = arrivals_ms(36_000, jitter_ms, loss_percent, 1);
    let display = arrivals_ms(36_000, jitter_ms, loss_percent, 2);
    let control = control.into_iter().map(|at_ms| (at_ms, false));
    let mut words: Vec<_> = control.chain(display.into_iter().map(|at| (at, true))).collect();
    words.sort_unstable();
    for (at_ms, of_display) in words {
        while let Some(wake_ms) = dtu.connection.wake_ms()
            && wake_ms < start_ms + at_ms
        {
            dtu.now_ms = wake_ms.max(dtu.now_ms);
            dtu.event(Event::Tick);
            // Nobody else is reached, so that the link in use is what counts.
            for attempt in
                dtu.connection.control.attempts.iter().map(|a| a.link).collect::<Vec<_>>()
            {
                let why = "it does not answer".into();
                dtu.event(Event::ControlFailed { link: attempt, why, other_group: false });
            }
        }
        dtu.now_ms = start_ms + at_ms;
        match of_display {
            true => dtu.display(DisplayAlive { seq: 0 }),
            false => {
                let message = Alive { seq: 0, resume: None }.into();
                dtu.event(Event::Control { link, message });
            }
        }
        dtu.done.clear();
    }
    assert_eq!((dtu.logged("server_lost"), dtu.logged("detached")), (0, 0));
    (suspected(&dtu, "control"), suspected(&dtu, "display"))
}

#[test]
fn an_hour_of_loss_and_jitter_is_hardly_ever_suspected() {
    assert_eq!(hour(5, 0), (0, 0), "on a quiet network");
    assert_eq!(hour(200, 0), (0, 0), "with 200 ms of jitter");
    let (control, display) = hour(200, 5);
    // Measured: 3 of each.
    assert!(control.max(display) <= 5, "{control} and {display} with 5% loss as well");
}
