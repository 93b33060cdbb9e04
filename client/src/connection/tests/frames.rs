//! Frames, whole and one by one, and sessions that break the rules for them.

use super::*;
use afterglow_wire::limits::FRAME_PARTS_MAX;
use bytes::Bytes;

fn fill() -> Command {
    Command::Fill { rect: Rect::new(0, 0, 1, 1), color: [0; 4] }
}

fn part(number: u64, last: bool, commands: Vec<Command>) -> FramePart {
    FramePart { number, last, commands }
}

fn frames_to_window(dtu: &mut Dtu) -> Vec<(u64, usize)> {
    let frame = |action| match action {
        Action::ToWindow(ToWindow::Frame { number, commands }) => Some((number, commands.len())),
        _ => None,
    };
    dtu.take().into_iter().filter_map(frame).collect()
}

fn lost_for(dtu: &Dtu, reason: &str) -> bool {
    dtu.logged
        .iter()
        .any(|event| matches!(event, Logged::Detached { reason: r, .. } if *r == reason))
}

#[test]
fn parts_become_one_frame() {
    let mut dtu = Dtu::attached();
    dtu.display(part(2, false, vec![fill()]));
    dtu.display(part(2, false, vec![]));
    assert_eq!(frames_to_window(&mut dtu), []);
    dtu.display(part(2, true, vec![fill(), fill()]));
    assert_eq!(frames_to_window(&mut dtu), [(2, 3)]);
}

#[test]
fn a_frame_is_told_as_shown_once_and_only_when_it_is() {
    let mut dtu = Dtu::attached();
    dtu.frame(2);
    dtu.frame(3);
    assert_eq!(dtu.sent_display(), []);
    dtu.event(Event::Window(FromWindow::FrameShown { number: 2 }));
    assert_eq!(dtu.sent_display(), [FrameShown { number: 2 }.into()]);
    dtu.event(Event::Window(FromWindow::FrameShown { number: 2 }));
    dtu.event(Event::Window(FromWindow::FrameShown { number: 99 }));
    dtu.event(Event::Window(FromWindow::FrameShown { number: 99 }));
    assert_eq!(dtu.sent_display(), [FrameShown { number: 3 }.into()]);
}

#[test]
fn a_frame_of_the_last_attachment_says_nothing_about_the_next() {
    let mut dtu = Dtu::attached();
    dtu.frame(2);
    let old = dtu.connection.window_frames;
    dtu.display_dies();
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.event(Event::DisplayOpened { link: dtu.display });
    dtu.session_attaches(None);
    dtu.frame(1);
    dtu.take();
    dtu.event(Event::Window(FromWindow::FrameShown { number: old }));
    assert_eq!(dtu.sent_display(), []);
    dtu.show_frames();
    assert_eq!(dtu.sent_display(), [FrameShown { number: 1 }.into()]);
    assert_eq!(dtu.logged("first_frame"), 2);
}

#[test]
fn what_breaks_the_rules_loses_the_link_and_is_asked_for_again() {
    let flood: Vec<FramePart> =
        (0..=FRAME_PARTS_MAX).map(|_| part(2, false, vec![fill()])).collect();
    let ahead = vec![part(2, true, vec![]), part(3, true, vec![]), part(4, true, vec![])];
    for parts in [
        vec![part(4, true, vec![fill()])],
        vec![part(1, true, vec![fill()])],
        vec![part(2, true, vec![Command::Unknown(99)])],
        flood,
        ahead,
    ] {
        let mut dtu = Dtu::attached();
        for part in parts {
            dtu.display(part);
        }
        assert!(!dtu.display_open);
        assert!(lost_for(&dtu, "protocol"));
        assert!(matches!(dtu.badge(), Some(Badge::Notice { .. })), "the user hears it");
        dtu.pass(1_000, true);
        assert_eq!(dtu.inserts().len(), 1);
    }
}

#[test]
fn a_frame_is_bounded_in_bytes() {
    let mut dtu = Dtu::attached();
    let payload = Bytes::from(vec![0; 1024 * 1024]);
    let set = Command::Set {
        rect: Rect::new(0, 0, 512, 512),
        coding: afterglow_wire::command::Coding::Raw,
        payload,
    };
    for _ in 0..128 {
        dtu.display(part(2, false, vec![set.clone()]));
    }
    assert!(dtu.display_open);
    dtu.display(part(2, false, vec![set]));
    assert!(!dtu.display_open);
}

#[test]
fn a_frame_that_the_window_cannot_apply_begins_the_picture_anew() {
    let mut dtu = Dtu::attached();
    dtu.frame(2);
    dtu.event(Event::Window(FromWindow::BadFrame { text: "outside".into() }));
    assert!(!dtu.display_open && lost_for(&dtu, "bad_frame"));
    let Some(Badge::Notice { text }) = dtu.badge() else { panic!("the user hears nothing") };
    assert!(text.ends_with("outside."), "{text}");
    assert_eq!(dtu.inserts().len(), 1);
}

#[test]
fn what_is_no_message_begins_the_picture_anew_if_it_came_over_its_link() {
    let garbage = |link| Event::DisplayGarbage { link, why: "too short".into() };
    let mut dtu = Dtu::attached();
    dtu.event(garbage(LinkId(dtu.display.0 + 1)));
    assert!(dtu.display_open && dtu.badge().is_none());
    dtu.event(garbage(dtu.display));
    assert!(!dtu.display_open && lost_for(&dtu, "protocol"));
    assert!(matches!(dtu.badge(), Some(Badge::Notice { .. })));
    assert_eq!(dtu.inserts().len(), 1);
}

#[test]
fn messages_out_of_turn_lose_the_link() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.control(attach(101, "mud", 1, Origin::New));
    dtu.event(Event::DisplayOpened { link: dtu.display });
    dtu.frame(1);
    assert!(!dtu.display_open);
    assert_eq!(dtu.connection.shown, None);

    let mut dtu = Dtu::attached();
    dtu.session_attaches(None);
    assert!(!dtu.display_open);
}

#[test]
fn another_session_than_the_permitted_is_not_shown() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    dtu.control(attach(101, "mud", 2, Origin::Existing));
    dtu.event(Event::DisplayOpened { link: dtu.display });
    let (session, size) = (SESSION, size());
    dtu.display(Attached { session, epoch: Epoch(1), attachment: 1, size, resumes: None });
    assert!(!dtu.display_open);
}
