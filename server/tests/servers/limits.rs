//! Peers that misbehave: each is sent away, and everyone else goes on.

use crate::dtu::{Dtu, insert};
use crate::servers::Group;
use afterglow_wire::control::{ALPN, Origin, ToServer};
use quinn::ConnectionError;
use std::time::Duration;

async fn closed_with(connection: &quinn::Connection) -> u64 {
    let closed = tokio::time::timeout(Duration::from_secs(10), connection.closed());
    match closed.await.expect("closed in time") {
        ConnectionError::ApplicationClosed(close) => {
            assert!(!close.reason.is_empty(), "no reason is said");
            u64::from(close.error_code)
        }
        other => panic!("not closed with a code: {other}"),
    }
}

pub async fn silent_clients_do_not_hurt_and_are_sent_away() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let silent = Dtu::new(&group);
    let mut connecting = tokio::task::JoinSet::new();
    let silent = std::sync::Arc::new(silent);
    for _ in 0..200 {
        let (silent, control) = (silent.clone(), servers[0].control);
        connecting.spawn(async move {
            // On a busy machine 200 handshakes at once may outlast the time
            // that a client gives one: who timed out comes again.
            let mut connection = silent.connect(control, ALPN).await;
            for _ in 0..3 {
                if connection.is_err() {
                    connection = silent.connect(control, ALPN).await;
                }
            }
            connection
        });
    }
    // Whoever has something to say gets in beside them.
    let mut link = Dtu::new(&group).link(&servers[0]).await;
    let attach = link.attach(insert(1, "soft.ada")).await;
    assert_eq!(attach.origin, Origin::New);
    for connection in connecting.join_all().await {
        assert_eq!(closed_with(&connection.expect("it was taken")).await, 3);
    }
    // Counted and logged, but not 200 times.
    let log = servers[0].log();
    let lines = log.lines().filter(|line| line.contains("no hello came")).count();
    assert!((1..=3).contains(&lines), "{lines} lines\n{log}");
}

pub async fn garbage_ends_its_link_alone() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let mut good = Dtu::new(&group).link(&servers[0]).await;
    let bad = Dtu::new(&group);
    // Of no length that may be, cut short, and right in form alone.
    let garbage: [&[u8]; 3] = [&[0xff; 64], &[2, 0, 0, 0, 1, 0], &[3, 0, 0, 0, 1, 0, 9]];
    for bytes in garbage {
        let connection = bad.connect(servers[0].control, ALPN).await.expect("connected");
        let (mut send, _receive) = connection.open_bi().await.expect("a stream");
        send.write_all(bytes).await.expect("sent");
        assert_eq!(closed_with(&connection).await, 2, "{bytes:?}");
    }
    // After the hello it is no different.
    let mut link = bad.link(&servers[0]).await;
    drop(link.writer);
    let connection = link.connection.clone();
    while link.reader.next().await.ok().flatten().is_some() {}
    drop(connection);
    // Datagrams that are nothing at all.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for len in [1, 20, 600, 1400] {
        socket.send_to(&vec![0xa5; len], servers[0].control).expect("sent");
    }
    let attach = good.attach(insert(1, "soft.ada")).await;
    assert_eq!(attach.origin, Origin::New);
}

pub async fn an_unknown_kind_is_skipped() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let mut link = Dtu::new(&group).link(&servers[0]).await;
    link.writer.send(ToServer::Unknown(999)).await.expect("sent");
    let attach = link.attach(insert(1, "soft.ada")).await;
    assert_eq!(attach.origin, Origin::New);
}

pub async fn another_protocol_is_refused() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let dtu = Dtu::new(&group);
    let refused = dtu.connect(servers[0].control, b"h3").await.expect_err("not our protocol");
    assert!(refused.contains("support any known protocol"), "{refused}");
    dtu.link(&servers[0]).await;
}

pub async fn an_insert_before_hello_ends_the_link() {
    let group = Group::new();
    let servers = group.start(&["mud"], "").await;
    let connection = Dtu::new(&group).connect(servers[0].control, ALPN).await.expect("connected");
    let (send, _receive) = connection.open_bi().await.expect("a stream");
    let mut writer = afterglow_link::stream::MessageWriter::<_, ToServer>::new(send);
    writer.send(insert(1, "soft.ada")).await.expect("sent");
    assert_eq!(closed_with(&connection).await, 2);
}
