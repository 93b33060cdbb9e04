//! Any message of every link, for the property tests.

use afterglow_wire::codec::Wire;
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::command::{Coding, Command, CursorShape, Rect};
use afterglow_wire::control::*;
use afterglow_wire::display::*;
use afterglow_wire::ids::*;
use afterglow_wire::input::{InputEvent, KeyAction};
use afterglow_wire::limits::DTU_ADDRESSES_MAX;
use afterglow_wire::local::*;
use afterglow_wire::quality::Quality;
use afterglow_wire::service::*;
use afterglow_wire::sessions::*;
use afterglow_wire::ticket::{Permit, Plan, SealedTicket, Ticket};
use afterglow_wire::trust::GroupKey;
use afterglow_wire::truth::{Differs, Truth};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::net::SocketAddrV4;

pub mod local;

pub fn text() -> impl Strategy<Value = String> {
    "[a-zäßπ😀 .]{0,60}"
}

pub fn server_name() -> impl Strategy<Value = ServerName> {
    "[a-z0-9-]{1,63}".prop_map(|name| name.parse().expect("a server's name"))
}

pub fn token() -> impl Strategy<Value = Token> {
    let kind = prop::sample::select(vec![
        TokenKind::Card,
        TokenKind::Piv,
        TokenKind::Pseudo,
        TokenKind::Soft,
    ]);
    (kind, "[A-Za-z0-9_-]{1,64}").prop_map(|(kind, id)| Token::new(kind, &id).expect("a token"))
}

pub fn keymap() -> impl Strategy<Value = Keymap> {
    "[a-z][a-z0-9_(),-]{0,20}".prop_map(|name| name.parse().expect("a layout"))
}

pub fn size() -> impl Strategy<Value = Size> {
    (16u16..=8192, 16u16..=8192).prop_map(|(w, h)| Size::new(w, h).expect("within the limits"))
}

pub fn address() -> impl Strategy<Value = SocketAddrV4> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port))
}

pub fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

pub fn dtu() -> impl Strategy<Value = DtuId> {
    any::<[u8; 32]>().prop_map(DtuId)
}

pub fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

/// The key of the group that all tickets here are signed by.
pub fn group_key() -> GroupKey {
    GroupKey::from_file_content(&[7; 32]).expect("32 bytes")
}

pub fn ticket() -> impl Strategy<Value = Ticket> {
    let plan = prop::sample::select(vec![Plan::Existing, Plan::New, Plan::Takeover]);
    let permit = prop_oneof![
        Just(Permit::Attach),
        (server_name(), plan).prop_map(|(to, plan)| Permit::Redirect { to, plan }),
        Just(Permit::Resume),
    ];
    let who = (dtu(), token(), session(), epoch());
    let order = (any::<u64>(), any::<u64>());
    (permit, server_name(), any::<u64>(), any::<[u8; 16]>(), who, order).prop_map(
        |(permit, issuer, ends_ms, nonce, (dtu, token, session, epoch), (insert, connection))| {
            Ticket {
                permit,
                issuer,
                ends_ms,
                nonce,
                dtu,
                token,
                session,
                epoch,
                insert,
                connection,
            }
        },
    )
}

pub fn sealed() -> impl Strategy<Value = SealedTicket> {
    ticket().prop_map(|ticket| ticket.seal(&group_key().ticket_signer()))
}

/// A choice of one byte, whatever its number of values.
pub fn choice<T: Wire + Clone + std::fmt::Debug + 'static>() -> impl Strategy<Value = T> {
    let values: Vec<T> =
        (0..=u8::MAX).filter_map(|byte| T::get(&mut reader(&[byte])).ok()).collect();
    prop::sample::select(values)
}

fn reader(bytes: &[u8]) -> afterglow_wire::codec::Reader {
    afterglow_wire::codec::Reader::new(bytes::Bytes::copy_from_slice(bytes))
}

fn insert() -> impl Strategy<Value = Insert> {
    let showing = (session(), epoch()).prop_map(|(session, epoch)| Showing { session, epoch });
    let servers = vec(server_name(), 0..4).prop_map(|names| names.into_iter().collect());
    let how = (choice(), option::of(sealed()), servers, any::<u8>(), option::of(showing));
    (any::<u64>(), (token(), want()), how, size(), keymap()).prop_map(
        |(
            insert,
            (token, want),
            (cause, ticket, unreachable, redirects, showing),
            screen,
            keymap,
        )| {
            Insert {
                insert,
                token,
                want,
                cause,
                ticket,
                unreachable,
                redirects,
                showing,
                screen,
                keymap,
            }
        },
    )
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![Just(Want::Last), Just(Want::New), session().prop_map(Want::Session)]
}

fn manage() -> impl Strategy<Value = Manage> {
    let order = prop_oneof![
        text().prop_map(SessionOrder::Rename),
        Just(SessionOrder::End),
        Just(SessionOrder::Continue),
        local::service_order().prop_map(SessionOrder::Service),
    ];
    (any::<u64>(), session(), epoch(), order).prop_map(|(insert, session, epoch, order)| Manage {
        insert,
        session,
        epoch,
        order,
    })
}

fn sessions() -> impl Strategy<Value = Sessions> {
    let names = vec(local::service_name(), 0..3);
    let entry = ((session(), epoch()), text(), server_name(), choice(), any::<u64>(), names);
    let entry = entry.prop_map(|((session, epoch), name, server, state, age_ms, services)| {
        let services = services.into_iter().collect();
        SessionEntry { session, epoch, name, server, state, age_ms, services }
    });
    let services = vec(local::service_status(), 0..3);
    (any::<u64>(), vec(entry, 0..3), services, text()).prop_map(
        |(insert, sessions, services, trouble)| Sessions {
            insert,
            sessions: sessions.into_iter().collect(),
            services: services.into_iter().collect(),
            trouble,
        },
    )
}

pub fn to_server() -> impl Strategy<Value = ToServer> {
    let hello = (any::<u16>(), text()).prop_map(|(version, dtu_name)| Hello { version, dtu_name });
    let answer = (any::<u64>(), any::<[u8; 32]>(), token())
        .prop_map(|(insert, nonce, token)| ChallengeAnswer { insert, nonce, token });
    let addresses = vec(any::<[u8; 4]>(), 0..=DTU_ADDRESSES_MAX)
        .prop_map(|all| Addresses { addresses: all.into_iter().map(Into::into).collect() });
    prop_oneof![
        hello.prop_map(ToServer::from),
        addresses.prop_map(ToServer::from),
        insert().prop_map(ToServer::from),
        answer.prop_map(ToServer::from),
        any::<u64>().prop_map(|insert| Remove { insert }.into()),
        any::<u64>().prop_map(|insert| ListSessions { insert }.into()),
        manage().prop_map(ToServer::from),
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(insert, question, yes)| Consent {
            insert,
            question,
            yes
        }
        .into()),
    ]
}

fn server() -> impl Strategy<Value = Server> {
    (server_name(), address()).prop_map(|(name, address)| Server { name, address })
}

fn attach() -> impl Strategy<Value = Attach> {
    let what = (session(), epoch(), server_name(), address());
    (any::<u64>(), what, sealed(), sealed(), (choice(), text())).prop_map(
        |(insert, (session, epoch, host, endpoint), ticket, resume, (origin, notice))| Attach {
            insert,
            session,
            epoch,
            host,
            endpoint,
            ticket,
            resume,
            origin,
            notice,
        },
    )
}

pub fn to_dtu() -> impl Strategy<Value = ToDtu> {
    let welcome = (any::<u16>(), server_name(), any::<u32>())
        .prop_map(|(version, server, alive_every_ms)| Welcome { version, server, alive_every_ms });
    let challenge =
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(insert, nonce)| Challenge { insert, nonce });
    let redirect = (any::<u64>(), server(), sealed(), choice())
        .prop_map(|(insert, to, ticket, plan)| Redirect { insert, to, ticket, plan });
    let refused = (any::<u64>(), choice(), text()).prop_map(|(insert, code, text)| Refused {
        insert,
        code,
        text,
    });
    let alive =
        (any::<u64>(), option::of(sealed())).prop_map(|(seq, resume)| Alive { seq, resume });
    let progress = (any::<u64>(), choice(), option::of(server_name()))
        .prop_map(|(insert, stage, host)| Progress { insert, stage, host });
    let servers =
        vec(server(), 0..5).prop_map(|servers| Servers { servers: servers.into_iter().collect() });
    let ended = (session(), text()).prop_map(|(session, text)| SessionEnded { session, text });
    prop_oneof![
        welcome.prop_map(ToDtu::from),
        challenge.prop_map(ToDtu::from),
        attach().prop_map(ToDtu::from),
        redirect.prop_map(ToDtu::from),
        refused.prop_map(ToDtu::from),
        alive.prop_map(ToDtu::from),
        progress.prop_map(ToDtu::from),
        servers.prop_map(ToDtu::from),
        ended.prop_map(ToDtu::from),
        sessions().prop_map(ToDtu::from),
        (any::<u64>(), text()).prop_map(|(insert, text)| Notice { insert, text }.into()),
        (any::<u64>(), any::<u64>(), text()).prop_map(|(insert, question, text)| Question {
            insert,
            question,
            text
        }
        .into()),
    ]
}

fn input_event() -> impl Strategy<Value = InputEvent> {
    prop_oneof![
        (1u8..=247, choice::<KeyAction>())
            .prop_map(|(scancode, action)| InputEvent::Key { scancode, action }),
        (any::<u16>(), any::<u16>()).prop_map(|(x_px, y_px)| InputEvent::Pointer { x_px, y_px }),
        (1u8..=15, any::<bool>())
            .prop_map(|(button, pressed)| InputEvent::Button { button, pressed }),
        (-100i16..=100, -100i16..=100)
            .prop_map(|(steps_x, steps_y)| InputEvent::Wheel { steps_x, steps_y }),
    ]
}

pub fn to_session() -> impl Strategy<Value = ToSession> {
    let attach =
        (sealed(), text(), size(), keymap()).prop_map(|(ticket, dtu_name, screen, keymap)| {
            AttachDisplay { ticket, dtu_name, screen, keymap }
        });
    let input = (any::<u64>(), any::<u64>(), vec(input_event(), 0..20)).prop_map(
        |(attachment, first_seq, events)| Input {
            attachment,
            first_seq,
            events: events.into_iter().collect(),
        },
    );
    let differs = (any::<u64>(), vec(any::<u16>(), 0..20))
        .prop_map(|(frame, blocks)| Differs { frame, blocks: blocks.into_iter().collect() });
    prop_oneof![
        attach.prop_map(ToSession::from),
        input.prop_map(ToSession::from),
        any::<u64>().prop_map(|number| FrameShown { number }.into()),
        size().prop_map(|screen| Resize { screen }.into()),
        keymap().prop_map(|keymap| Layout { keymap }.into()),
        any::<u64>().prop_map(|insert| Remove { insert }.into()),
        any::<u64>().prop_map(|nonce| Probe { nonce }.into()),
        differs.prop_map(ToSession::from),
        any::<bool>().prop_map(|on| Diagnose { on }.into()),
        choice::<Quality>().prop_map(ToSession::from),
    ]
}

pub fn rect(max_px: u16) -> impl Strategy<Value = Rect> {
    (0..max_px, 0..max_px, 1..=max_px, 1..=max_px).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h))
}

fn cursor() -> impl Strategy<Value = CursorShape> {
    (0u16..=9, 0u16..=9).prop_flat_map(|(width_px, height_px)| {
        let bytes = usize::from(width_px) * usize::from(height_px) * 4;
        (vec(any::<u8>(), bytes), 0..width_px.max(1), 0..height_px.max(1)).prop_map(
            move |(pixels, hot_x_px, hot_y_px)| CursorShape {
                width_px,
                height_px,
                hot_x_px,
                hot_y_px,
                pixels: pixels.into(),
            },
        )
    })
}

fn coding() -> impl Strategy<Value = Coding> {
    prop_oneof![
        Just(Coding::Raw),
        Just(Coding::Zstd),
        Just(Coding::Stream),
        Just(Coding::Palette),
        Just(Coding::Predicted),
        (5u8..=255).prop_map(Coding::Unknown),
    ]
}

/// Planes of a command, at most so many pixels a side.
pub fn planes(max_px: u16) -> impl Strategy<Value = Planes> {
    let chroma = prop_oneof![Just(Chroma::Full), Just(Chroma::Half), Just(Chroma::Quarter)];
    (chroma, 1..=max_px, 1..=max_px).prop_map(|(chroma, width_px, height_px)| Planes {
        chroma,
        width_px,
        height_px,
    })
}

/// A command that this version knows; rectangles reach up to twice `max_px`.
pub fn command(max_px: u16) -> impl Strategy<Value = Command> {
    prop_oneof![
        (rect(max_px), coding(), vec(any::<u8>(), 0..64)).prop_map(|(rect, coding, payload)| {
            Command::Set { rect, coding, payload: payload.into() }
        }),
        (rect(max_px), any::<[u8; 4]>()).prop_map(|(rect, color)| Command::Fill { rect, color }),
        (rect(max_px), 0..max_px, 0..max_px).prop_map(|(rect, from_x_px, from_y_px)| {
            Command::Copy { rect, from_x_px, from_y_px }
        }),
        (rect(max_px), any::<([u8; 4], Option<[u8; 4]>)>(), coding(), vec(any::<u8>(), 0..64))
            .prop_map(|(rect, (foreground, background), coding, payload)| {
                let payload = payload.into();
                Command::Bitmap { rect, foreground, background, coding, payload }
            }),
        (rect(max_px), planes(max_px), coding(), vec(any::<u8>(), 0..64)).prop_map(
            |(rect, planes, coding, payload)| {
                Command::Cscs { rect, planes, coding, payload: payload.into() }
            }
        ),
        cursor().prop_map(Command::Cursor),
        size().prop_map(Command::Size),
    ]
}

pub fn from_session() -> impl Strategy<Value = FromSession> {
    let done =
        || (any::<u64>(), any::<u64>()).prop_map(|(attachment, seq)| InputDone { attachment, seq });
    let attached = (session(), epoch(), any::<u64>(), size(), option::of(done())).prop_map(
        |(session, epoch, attachment, size, resumes)| Attached {
            session,
            epoch,
            attachment,
            size,
            resumes,
        },
    );
    let frame = (any::<u64>(), any::<bool>(), vec(command(500), 0..12))
        .prop_map(|(number, last, commands)| FramePart { number, last, commands });
    let detached = (choice(), text()).prop_map(|(reason, text)| Detached { reason, text });
    let probed = (any::<u64>(), session(), epoch(), option::of(dtu())).prop_map(
        |(nonce, session, epoch, shown_on)| ProbeAnswer { nonce, session, epoch, shown_on },
    );
    let truth =
        (any::<u64>(), size(), vec(any::<[u8; 8]>(), 0..20)).prop_map(|(frame, size, blocks)| {
            Truth { frame, size, blocks: blocks.into_iter().collect() }
        });
    let spent = (any::<u64>(), any::<u32>(), any::<u32>())
        .prop_map(|(frame, capture_us, encode_us)| Spent { frame, capture_us, encode_us });
    prop_oneof![
        attached.prop_map(FromSession::from),
        frame.prop_map(FromSession::from),
        done().prop_map(FromSession::from),
        detached.prop_map(FromSession::from),
        probed.prop_map(FromSession::from),
        any::<u64>().prop_map(|seq| DisplayAlive { seq }.into()),
        truth.prop_map(FromSession::from),
        spent.prop_map(FromSession::from),
        size().prop_map(|max| SizeLimited { max }.into()),
        choice::<Quality>().prop_map(FromSession::from),
    ]
}
