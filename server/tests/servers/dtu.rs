//! A DTU without a window: its key, its links, and what it expects to hear.

use crate::servers::{Group, Server};
use afterglow_link::certificates::{Credentials, dtu_credentials, generate_dtu_key};
use afterglow_link::quic::{Liveness, connect_as, opening_endpoint};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_link::tls::Accept;
use afterglow_wire::control::{
    ALPN, Attach, Cause, ChallengeAnswer, Hello, Insert, Redirect, Refused, Showing, ToDtu,
    ToServer, VERSION,
};
use afterglow_wire::display::{self, AttachDisplay, FromSession, ToSession};
use afterglow_wire::ids::{DtuId, GroupId, Size, Token};
use std::net::SocketAddrV4;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

pub struct Dtu {
    pub id: DtuId,
    credentials: Credentials,
    group: GroupId,
    endpoint: quinn::Endpoint,
}

pub struct Link {
    pub connection: quinn::Connection,
    pub reader: MessageReader<quinn::RecvStream, ToDtu>,
    pub writer: MessageWriter<quinn::SendStream, ToServer>,
    /// What it heard of its insert's course.
    pub stages: Vec<afterglow_wire::control::Stage>,
}

pub fn size() -> Size {
    Size::new(800, 600).expect("a size")
}

pub fn insert(number: u64, token: &str) -> Insert {
    Insert {
        insert: number,
        token: token.parse().expect("a token"),
        want: afterglow_wire::sessions::Want::Last,
        cause: Cause::Insert,
        ticket: None,
        unreachable: Default::default(),
        redirects: 0,
        showing: None,
        screen: size(),
        keymap: Default::default(),
    }
}

/// The insert that follows a redirect.
pub fn redirected(token: &str, redirect: &Redirect, showing: Option<Showing>) -> Insert {
    let ticket = Some(redirect.ticket.clone());
    let insert = insert(redirect.insert, token);
    Insert { cause: Cause::Redirect, ticket, redirects: 1, showing, ..insert }
}

/// The insert of a DTU that lost the server that attached it.
pub fn failover(token: &str, attach: &Attach, showing: bool) -> Insert {
    let showing = showing.then_some(Showing { session: attach.session, epoch: attach.epoch });
    let ticket = Some(attach.resume.clone());
    Insert { cause: Cause::Failover, ticket, showing, ..insert(attach.insert, token) }
}

impl Dtu {
    pub fn new(group: &Group) -> Self {
        let key = generate_dtu_key().expect("a key");
        let (id, credentials) = dtu_credentials(&key).expect("a certificate");
        let endpoint = opening_endpoint().expect("an endpoint");
        Dtu { id, credentials, group: group.fingerprint, endpoint }
    }

    pub async fn connect(
        &self,
        to: SocketAddrV4,
        alpn: &[u8],
    ) -> Result<quinn::Connection, String> {
        let accept = Accept::AnyServer { group: Some(self.group) };
        connect_as(&self.endpoint, to, &self.credentials, accept, alpn, Liveness::CONTROL)
            .await
            .map_err(|e| e.to_string())
    }

    /// A link that said hello and was welcomed.
    pub async fn link(&self, server: &Server) -> Link {
        let connection = self.connect(server.control, ALPN).await.expect("a connection");
        let (send, receive) = connection.open_bi().await.expect("a stream");
        let mut link = Link {
            connection,
            reader: MessageReader::new(receive),
            writer: MessageWriter::new(send),
            stages: Vec::new(),
        };
        let hello = Hello { version: VERSION, dtu_name: "a test".into() };
        link.writer.send(hello).await.expect("sent");
        match link.next().await {
            Some(ToDtu::Welcome(welcome)) => assert_eq!(welcome.server.as_str(), server.name),
            other => panic!("no welcome: {other:?}"),
        }
        link
    }

    /// Shows the session: true if its display link lets us in.
    pub async fn show(&self, attach: &Attach) -> Result<quinn::Connection, String> {
        let accept = Accept::Session { group: self.group, id: attach.session, epoch: attach.epoch };
        let connection = connect_as(
            &self.endpoint,
            attach.endpoint,
            &self.credentials,
            accept,
            display::ALPN,
            Liveness::DISPLAY,
        )
        .await
        .map_err(|e| e.to_string())?;
        let (send, receive) = connection.open_bi().await.map_err(|e| e.to_string())?;
        let mut writer = MessageWriter::<_, ToSession>::new(send);
        let mut reader = MessageReader::<_, FromSession>::new(receive);
        let ticket = attach.ticket.clone();
        let (dtu_name, screen, keymap) = ("a test".into(), size(), Default::default());
        writer
            .send(AttachDisplay { ticket, dtu_name, screen, keymap })
            .await
            .map_err(|e| e.to_string())?;
        match reader.next().await.map_err(|e| e.to_string())? {
            Some(FromSession::Attached(_)) => Ok(connection),
            other => Err(format!("{other:?}")),
        }
    }
}

impl Link {
    /// The next message of any kind; `None` if the link ends.
    pub async fn next(&mut self) -> Option<ToDtu> {
        let next = tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("in time");
        next.ok().flatten()
    }

    /// The next message that is about something, past the regular ones.
    pub async fn news(&mut self) -> ToDtu {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let news = async {
            loop {
                match self.reader.next().await.expect("the link lives") {
                    Some(ToDtu::Alive(_) | ToDtu::Servers(_)) => {}
                    Some(ToDtu::Progress(progress)) => self.stages.push(progress.stage),
                    Some(message) => return message,
                    None => panic!("the link ended"),
                }
            }
        };
        tokio::time::timeout_at(deadline, news).await.expect("in time")
    }

    /// Inserts, answers the challenge if there is one, and gives what comes.
    pub async fn insert(&mut self, insert: Insert) -> ToDtu {
        let (number, token): (u64, Token) = (insert.insert, insert.token.clone());
        self.writer.send(insert).await.expect("sent");
        match self.news().await {
            ToDtu::Challenge(challenge) => {
                assert_eq!(challenge.insert, number);
                let nonce = challenge.nonce;
                let answer = ChallengeAnswer { insert: number, nonce, token };
                self.writer.send(answer).await.expect("sent");
                self.news().await
            }
            other => other,
        }
    }

    pub async fn attach(&mut self, insert: Insert) -> Attach {
        match self.insert(insert).await {
            ToDtu::Attach(attach) => attach,
            other => panic!("not attached: {other:?}"),
        }
    }

    pub async fn refused(&mut self, insert: Insert) -> Refused {
        match self.insert(insert).await {
            ToDtu::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }
}
