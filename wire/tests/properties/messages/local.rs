//! Any message of the local link.

use super::*;

fn clocks() -> impl Strategy<Value = Clocks> {
    vec((server_name(), any::<i64>()), 0..4).prop_map(|clocks| Clocks {
        ahead: clocks
            .into_iter()
            .map(|(server, ahead_ms)| ClockAhead { server, ahead_ms })
            .collect(),
    })
}

fn der() -> impl Strategy<Value = Der> {
    vec(any::<u8>(), 0..300).prop_map(|bytes| Der(bytes.into()))
}

pub fn to_keeper() -> impl Strategy<Value = ToKeeper> {
    prop_oneof![
        (dtu(), any::<u64>()).prop_map(|(dtu, insert)| DetachDtu { dtu, insert }.into()),
        text().prop_map(|text| End { text }.into()),
        clocks().prop_map(ToKeeper::from),
    ]
}

pub fn from_keeper() -> impl Strategy<Value = FromKeeper> {
    let who = (session(), epoch(), token());
    let status = (who, any::<u16>(), option::of(dtu()), any::<u64>()).prop_map(
        |((session, epoch, token), port, shown_on, connection)| Status {
            session,
            epoch,
            token,
            port,
            shown_on,
            connection,
        },
    );
    prop_oneof![status.prop_map(FromKeeper::from), text().prop_map(|text| Ended { text }.into())]
}

pub fn started() -> impl Strategy<Value = Started> {
    prop_oneof![
        Just(Started::Prepared),
        any::<u16>().prop_map(|port| Started::Ready { port }),
        text().prop_map(|text| Started::Failed { text })
    ]
}

pub fn start_order() -> impl Strategy<Value = StartOrder> {
    prop_oneof![Just(StartOrder::Go), Just(StartOrder::Discard)]
}

pub fn session_spec() -> impl Strategy<Value = SessionSpec> {
    let who = (session(), epoch(), server_name(), token());
    let what = (text(), text(), vec(text(), 0..6), size(), size(), keymap());
    let link = (address(), any::<u16>(), der(), der(), der(), any::<[u8; 32]>(), clocks());
    (who, what, link, any::<bool>()).prop_map(|(who, what, link, hold)| {
        let (session, epoch, server, token) = who;
        let (runtime_dir, home_dir, desktop, size_max, size, keymap) = what;
        let (listen, port_last, certificate, certificate_key, authority, ticket_key, clocks) = link;
        SessionSpec {
            session,
            epoch,
            server,
            token,
            runtime_dir,
            home_dir,
            desktop: CommandLine(desktop),
            size_max,
            size,
            keymap,
            listen,
            port_last,
            certificate,
            certificate_key,
            authority,
            ticket_key,
            clocks,
            hold,
        }
    })
}
