//! Who is accepted at each end of a link, over real QUIC on loopback.

use afterglow_link::certificates::{Authority, Credentials, dtu_credentials, generate_dtu_key};
use afterglow_link::quic::{Liveness, accepting_endpoint, bind_udp, connect_as, opening_endpoint};
use afterglow_link::tls::{Accept, Peer, peer_of, server_config, server_of};
use afterglow_wire::ids::{DtuId, Epoch, GroupId, SessionId};
use afterglow_wire::trust::{GroupKey, Role};
use afterglow_wire::{control, display};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

const SESSION: SessionId = SessionId([5; 16]);

fn authority(secret: u8) -> Authority {
    let key = GroupKey::from_file_content(&[secret; 32]).expect("32 bytes");
    Authority::of_group(&key).expect("an authority")
}

fn group(secret: u8) -> GroupId {
    authority(secret).group_id().expect("its fingerprint")
}

fn server_role() -> Role {
    Role::Server("mud".parse().expect("a name"))
}

fn session_role(epoch: u64) -> Role {
    Role::Session { id: SESSION, epoch: Epoch(epoch) }
}

fn dtu() -> (DtuId, Credentials) {
    dtu_credentials(&generate_dtu_key().expect("a key")).expect("credentials")
}

/// An end that accepts with these credentials, and tells who came.
struct Accepting {
    endpoint: quinn::Endpoint,
    address: SocketAddrV4,
}

impl Accepting {
    fn new(credentials: &Credentials, alpn: &[u8]) -> Self {
        let socket = bind_udp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let SocketAddr::V4(address) = socket.local_addr().expect("an address") else {
            panic!("it is IPv4");
        };
        let tls = server_config(credentials, alpn).expect("TLS");
        let endpoint =
            accepting_endpoint(socket, tls, Liveness::CONTROL, None).expect("an endpoint");
        Accepting { endpoint, address }
    }

    async fn accept(&self) -> Option<quinn::Connection> {
        self.endpoint.accept().await?.await.ok()
    }
}

/// Opens a link to `accepting`; both ends if both agree, else what the opening
/// end was told.
async fn meet(
    accepting: &Accepting,
    credentials: &Credentials,
    accept: Accept,
    alpn: &[u8],
) -> Result<(quinn::Connection, quinn::Connection), String> {
    let endpoint = opening_endpoint().expect("an endpoint");
    let opening =
        connect_as(&endpoint, accepting.address, credentials, accept, alpn, Liveness::PROBE);
    let (opened, accepted) = tokio::join!(opening, accepting.accept());
    let opened = opened.map_err(|error| error.to_string())?;
    Ok((opened, accepted.ok_or("not accepted")?))
}

async fn meet_server(secret: u8, accept: Accept) -> Result<(), String> {
    let server = authority(secret).issue(&server_role()).expect("a certificate");
    let accepting = Accepting::new(&server, control::ALPN);
    meet(&accepting, &dtu().1, accept, control::ALPN).await.map(drop)
}

#[tokio::test]
async fn a_dtu_and_a_server_of_its_group_know_each_other() {
    let server = authority(1).issue(&server_role()).expect("a certificate");
    let accepting = Accepting::new(&server, control::ALPN);
    let (id, credentials) = dtu();
    let accept = Accept::AnyServer { group: Some(group(1)) };
    let (opened, accepted) =
        meet(&accepting, &credentials, accept, control::ALPN).await.expect("they meet");
    assert_eq!(server_of(&opened), Some((group(1), "mud".parse().expect("a name"))));
    assert_eq!(peer_of(&accepted, group(1)), Some(Peer::Dtu(id)));
}

#[tokio::test]
async fn a_server_of_another_group_is_refused() {
    let accept = Accept::AnyServer { group: Some(group(1)) };
    assert!(meet_server(2, accept.clone()).await.is_err());
    assert!(meet_server(1, accept).await.is_ok());
}

#[tokio::test]
async fn before_the_first_meeting_any_group_may_be_looked_at() {
    let server = authority(2).issue(&server_role()).expect("a certificate");
    let accepting = Accepting::new(&server, control::ALPN);
    let accept = Accept::AnyServer { group: None };
    let (opened, _) = meet(&accepting, &dtu().1, accept, control::ALPN).await.expect("they meet");
    // What the user is asked to confirm is the fingerprint of who really
    // answered.
    assert_eq!(server_of(&opened).map(|(group, _)| group), Some(group(2)));
}

#[tokio::test]
async fn a_session_cannot_pose_as_a_server() {
    let session = authority(1).issue(&session_role(1)).expect("a certificate");
    let accepting = Accepting::new(&session, control::ALPN);
    for group in [None, Some(group(1))] {
        let accept = Accept::AnyServer { group };
        assert!(meet(&accepting, &dtu().1, accept, control::ALPN).await.is_err());
    }
}

#[tokio::test]
async fn a_dtu_itself_cannot_pose_as_a_server() {
    let accepting = Accepting::new(&dtu().1, control::ALPN);
    for group in [None, Some(group(1))] {
        let accept = Accept::AnyServer { group };
        assert!(meet(&accepting, &dtu().1, accept, control::ALPN).await.is_err());
    }
}

#[tokio::test]
async fn a_server_cannot_add_another_groups_authority_to_its_certificate() {
    let mut forged = authority(2).issue(&server_role()).expect("a certificate");
    forged.chain[1] = authority(1).certificate().clone();
    let accepting = Accepting::new(&forged, control::ALPN);
    let accept = Accept::AnyServer { group: Some(group(1)) };
    assert!(meet(&accepting, &dtu().1, accept, control::ALPN).await.is_err());
}

#[tokio::test]
async fn only_the_expected_copy_of_a_session_is_accepted() {
    let session = authority(1).issue(&session_role(2)).expect("a certificate");
    let accepting = Accepting::new(&session, display::ALPN);
    for (group, id, epoch, good) in [
        (group(1), SESSION, 2, true),
        (group(1), SESSION, 1, false),
        (group(1), SESSION, 3, false),
        (group(1), SessionId([6; 16]), 2, false),
        (group(2), SESSION, 2, false),
    ] {
        let accept = Accept::Session { group, id, epoch: Epoch(epoch) };
        let met = meet(&accepting, &dtu().1, accept, display::ALPN).await;
        assert_eq!(met.is_ok(), good, "{group} {id} {epoch}: {met:?}");
    }
}

#[tokio::test]
async fn a_server_cannot_pose_as_a_session() {
    let server = authority(1).issue(&server_role()).expect("a certificate");
    let accepting = Accepting::new(&server, display::ALPN);
    let accept = Accept::Session { group: group(1), id: SESSION, epoch: Epoch(1) };
    assert!(meet(&accepting, &dtu().1, accept, display::ALPN).await.is_err());
}

#[tokio::test]
async fn a_session_tells_a_server_that_probes_from_a_dtu_that_poses_as_one() {
    let session = authority(1).issue(&session_role(1)).expect("a certificate");
    let accepting = Accepting::new(&session, display::ALPN);
    let accept = || Accept::Session { group: group(1), id: SESSION, epoch: Epoch(1) };
    let prober = authority(1).issue(&server_role()).expect("a certificate");
    let (_, accepted) =
        meet(&accepting, &prober, accept(), display::ALPN).await.expect("they meet");
    assert_eq!(peer_of(&accepted, group(1)), Some(Peer::Server("mud".parse().expect("a name"))));
    let stranger = authority(2).issue(&server_role()).expect("a certificate");
    let (_, accepted) =
        meet(&accepting, &stranger, accept(), display::ALPN).await.expect("they meet");
    assert!(matches!(peer_of(&accepted, group(1)), Some(Peer::Dtu(_))));
}

#[tokio::test]
async fn a_link_of_another_protocol_is_refused() {
    let server = authority(1).issue(&server_role()).expect("a certificate");
    let accepting = Accepting::new(&server, control::ALPN);
    for alpn in [display::ALPN, b"h3"] {
        let accept = Accept::AnyServer { group: Some(group(1)) };
        assert!(meet(&accepting, &dtu().1, accept, alpn).await.is_err());
    }
}
