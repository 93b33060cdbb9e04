//! What stands in for `afterglow-session keeper`: the local link, the probe
//! and the check of attach tickets, and no desktop.
//!
//! Its desktop command says what it does: `stay`, `fail TEXT`.

use afterglow_link::certificates::{Credentials, group_of};
use afterglow_link::quic::{Liveness, accepting_endpoint, bind_udp};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_link::tls::{self, Peer, peer_of};
use afterglow_server::keeper::noted::{self, Part};
use afterglow_server::keeper::session_dir;
use afterglow_wire::codec::Message;
use afterglow_wire::display::{
    ALPN, Attached, DetachReason, Detached, FromSession, ProbeAnswer, ToSession,
};
use afterglow_wire::ids::{DtuId, Epoch, SessionId};
use afterglow_wire::local::{
    Ended, FromKeeper, KeeperStart, SessionSpec, StartOrder, Started, Status, ToKeeper,
};
use afterglow_wire::trust::TicketVerifier;
use std::io::{Read, Write};
use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

struct Session {
    spec: SessionSpec,
    port: u16,
    shown_on: Mutex<Option<DtuId>>,
    connection: Mutex<u64>,
    /// Which copy it is now.
    copy: Mutex<(SessionId, Epoch)>,
    changed: watch::Sender<u64>,
    ended: watch::Sender<Option<String>>,
}

pub fn main() -> ExitCode {
    let _ = rustix::process::setsid();
    let spec = match read_message().expect("a start") {
        KeeperStart::Session(spec) => *spec,
        KeeperStart::Warm(warm) => {
            let own = rustix::process::getpid();
            noted::note(std::path::Path::new(&warm.runtime_dir), Part::Keeper, own);
            report(&Started::Prepared);
            match read_message() {
                Some(StartOrder::Be(spec)) => *spec,
                _ => return ExitCode::SUCCESS,
            }
        }
    };
    // What is only made ready comes to nothing if its server goes.
    if spec.hold && read_message() != Some(StartOrder::Go) {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(keep(spec))
}

fn read_message<M: Message>() -> Option<M> {
    let mut stdin = std::io::stdin().lock();
    let mut len = [0; 4];
    stdin.read_exact(&mut len).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    stdin.read_exact(&mut bytes).ok()?;
    Some(M::decode(bytes.into()).expect("a valid message"))
}

fn report(started: &Started) {
    let mut out = std::io::stdout();
    out.write_all(&started.encode_framed()).expect("the server reads");
    out.flush().expect("the server reads");
}

async fn keep(spec: SessionSpec) -> ExitCode {
    if spec.desktop.0[0] == "fail" {
        report(&Started::Failed { text: spec.desktop.0[1].clone() });
        return ExitCode::FAILURE;
    }
    let (socket, port) = (spec.listen.port()..=spec.port_last)
        .find_map(|port| Some((bind_udp(SocketAddrV4::new(*spec.listen.ip(), port)).ok()?, port)))
        .expect("a free port");
    let credentials =
        Credentials::from_der(&spec.certificate.0, &spec.certificate_key.0, &spec.authority.0);
    let tls = tls::server_config(&credentials, ALPN).expect("a session's certificate");
    let endpoint = accepting_endpoint(socket, tls, Liveness::DISPLAY, None).expect("an endpoint");
    let dir = std::path::Path::new(&spec.runtime_dir);
    assert!(dir.is_dir() && std::path::Path::new(&spec.home_dir).is_dir());
    session_dir::write_identity(dir, spec.session, spec.epoch).expect("written");
    std::fs::write(dir.join("pid"), std::process::id().to_string()).expect("written");
    let local = UnixListener::bind(dir.join("keeper.sock")).expect("a socket");
    let session = Arc::new(Session {
        copy: Mutex::new((spec.session, spec.epoch)),
        spec,
        port,
        shown_on: Mutex::new(None),
        connection: Mutex::new(0),
        changed: watch::channel(0).0,
        ended: watch::channel(None).0,
    });
    report(&Started::Ready { port });
    let mut ended = session.ended.subscribe();
    loop {
        tokio::select! {
            Ok(()) = ended.changed() => {
                // Those who follow are to hear it first.
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                return ExitCode::SUCCESS;
            }
            Ok((stream, _)) = local.accept() => {
                tokio::spawn(follow(session.clone(), stream));
            }
            Some(incoming) = endpoint.accept() => {
                let session = session.clone();
                tokio::spawn(async move { show(session, incoming.await.ok()?).await });
            }
        }
    }
}

impl Session {
    fn status(&self) -> Status {
        let (session, epoch) = *self.copy.lock().expect("no panic");
        Status {
            session,
            epoch,
            token: self.spec.token.clone(),
            port: self.port,
            shown_on: *self.shown_on.lock().expect("no panic"),
            connection: *self.connection.lock().expect("no panic"),
            services: Default::default(),
            frozen: false,
            trouble: String::new(),
        }
    }

    fn show_on(&self, dtu: Option<DtuId>) {
        *self.shown_on.lock().expect("no panic") = dtu;
        self.changed.send_modify(|count| *count += 1);
    }
}

async fn follow(session: Arc<Session>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let mut reader = MessageReader::<_, ToKeeper>::new(read);
    let mut writer = MessageWriter::<_, FromKeeper>::new(write);
    let mut changed = session.changed.subscribe();
    let mut ended = session.ended.subscribe();
    let _ = writer.send(session.status()).await;
    loop {
        tokio::select! {
            message = reader.next() => match message {
                Ok(Some(ToKeeper::Detach(detach))) => {
                    if session.status().shown_on == Some(detach.dtu) {
                        session.show_on(None);
                    }
                }
                Ok(Some(ToKeeper::Become(becomes))) => {
                    *session.copy.lock().expect("no panic") = (becomes.session, becomes.epoch);
                    session.show_on(None);
                }
                Ok(Some(ToKeeper::End(end))) => {
                    session.ended.send_replace(Some(end.text));
                }
                Ok(Some(_)) => {}
                _ => return,
            },
            Ok(()) = ended.changed() => {
                let text = ended.borrow().clone().unwrap_or_default();
                let _ = writer.send(Ended { text }).await;
            }
            Ok(()) = changed.changed() => {
                let _ = writer.send(session.status()).await;
            }
        }
    }
}

/// A display link without a picture.
async fn show(session: Arc<Session>, connection: quinn::Connection) -> Option<()> {
    let group = group_of(&session.spec.authority.0.to_vec().into()).ok()?;
    let peer = peer_of(&connection, group)?;
    let (send, receive) = connection.accept_bi().await.ok()?;
    let mut reader = MessageReader::<_, ToSession>::new(receive);
    let mut writer = MessageWriter::<_, FromSession>::new(send);
    let (id, epoch) = (session.spec.session, session.spec.epoch);
    loop {
        let Some(message) = reader.next().await.ok()? else {
            // A test that needs only the link keeps nothing else of it.
            connection.closed().await;
            return None;
        };
        match (message, &peer) {
            (ToSession::Probe(probe), Peer::Server(_)) => {
                let shown_on = session.status().shown_on;
                let answer = ProbeAnswer { nonce: probe.nonce, session: id, epoch, shown_on };
                writer.send(answer).await.ok()?;
            }
            (ToSession::Attach(attach), Peer::Dtu(dtu)) => {
                let now_ms = std::time::UNIX_EPOCH.elapsed().ok()?.as_millis() as u64;
                let verifier = TicketVerifier(session.spec.ticket_key);
                let opened = attach.ticket.open(&verifier, *dtu, now_ms, |_| 0);
                let last = session.status().connection;
                match opened {
                    Ok(t) if (t.session, t.epoch) == (id, epoch) && t.connection >= last => {
                        *session.connection.lock().ok()? = t.connection;
                        session.show_on(Some(*dtu));
                        let size = session.spec.size;
                        let attached =
                            Attached { session: id, epoch, attachment: 1, size, resumes: None };
                        writer.send(attached).await.ok()?;
                    }
                    other => {
                        let text = format!("{other:?} after {last}");
                        let reason = DetachReason::TicketRefused;
                        writer.send(Detached { reason, text }).await.ok()?;
                    }
                }
            }
            _ => {}
        }
    }
}
