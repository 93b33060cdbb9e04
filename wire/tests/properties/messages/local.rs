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
        service_order().prop_map(ToKeeper::from),
        epoch().prop_map(|by| Freeze { by }.into()),
        (session(), epoch(), der(), der()).prop_map(
            |(session, epoch, certificate, certificate_key)| Become {
                session,
                epoch,
                certificate,
                certificate_key,
            }
            .into()
        ),
    ]
}

pub fn from_keeper() -> impl Strategy<Value = FromKeeper> {
    let who = (session(), epoch(), token());
    let how = (vec(service_status(), 0..3), any::<bool>(), text());
    let status = (who, any::<u16>(), option::of(dtu()), any::<u64>(), how).prop_map(
        |((session, epoch, token), port, shown_on, connection, how)| Status {
            session,
            epoch,
            token,
            port,
            shown_on,
            connection,
            services: how.0.into_iter().collect(),
            frozen: how.1,
            trouble: how.2,
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
    prop_oneof![
        Just(StartOrder::Go),
        Just(StartOrder::Discard),
        session_spec().prop_map(|spec| StartOrder::Be(Box::new(spec)))
    ]
}

pub fn keeper_start() -> impl Strategy<Value = KeeperStart> {
    let warm = (text(), size(), address(), any::<u16>()).prop_map(
        |(runtime_dir, size_max, listen, port_last)| {
            KeeperStart::Warm(WarmSpec { runtime_dir, size_max, listen, port_last })
        },
    );
    prop_oneof![warm, session_spec().prop_map(|spec| KeeperStart::Session(Box::new(spec)))]
}

pub fn service_order() -> impl Strategy<Value = ServiceOrder> {
    (service_name(), choice()).prop_map(|(name, act)| ServiceOrder { name, act })
}

pub fn service_name() -> impl Strategy<Value = ServiceName> {
    "[a-z0-9._-]{1,32}".prop_map(|name| name.parse().expect("a service's name"))
}

pub fn service_status() -> impl Strategy<Value = ServiceStatus> {
    (service_name(), choice(), any::<bool>(), text(), text()).prop_map(
        |(name, state, required, host, text)| ServiceStatus { name, state, required, host, text },
    )
}

fn service_spec() -> impl Strategy<Value = ServiceSpec> {
    let line = || vec(text(), 0..4).prop_map(CommandLine);
    let when = (any::<bool>(), any::<bool>());
    (service_name(), line(), when, text(), line(), line()).prop_map(
        |(name, command, (required, start), host, on_connect, on_disconnect)| ServiceSpec {
            name,
            command,
            required,
            start,
            host,
            on_connect,
            on_disconnect,
        },
    )
}

pub fn session_spec() -> impl Strategy<Value = SessionSpec> {
    let who = (session(), epoch(), server_name(), token());
    let what = (text(), text(), vec(text(), 0..6), size(), size(), keymap());
    let link = (address(), any::<u16>(), der(), der(), der(), any::<[u8; 32]>(), clocks());
    let how = (any::<bool>(), vec(service_spec(), 0..3), vec(service_name(), 0..3), choice());
    (who, what, link, how).prop_map(|(who, what, link, (hold, services, ran, quality))| {
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
            services: services.into_iter().collect(),
            ran: ran.into_iter().collect(),
            quality,
        }
    })
}
