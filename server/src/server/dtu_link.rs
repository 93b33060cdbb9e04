//! One DTU's link, from its hello to its end.

use super::control::Met;
use super::placing::{self, News};
use super::tickets::{self, Whose};
use super::{LinkEntry, Shared, ToLink, close, complain, lock};
use crate::auth::{Admitted, AuthError, LinkId, Verdict};
use crate::session::act::{Act, Attachment};
use crate::session::care::Cared;
use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_wire::control::{
    Alive, Attach, Challenge, ChallengeAnswer, Insert, Origin, Progress, Redirect, RedirectPlan,
    RefusalCode, Refused, Server, Servers, SessionEnded, ToDtu, ToServer, VERSION, Welcome,
};
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{DtuId, Token};
use afterglow_wire::local::{DetachDtu, ToKeeper};
use afterglow_wire::ticket::{Permit, Plan, SealedTicket};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a server says that it lives.
pub const ALIVE_EVERY: Duration = Duration::from_millis(100);
/// How often a DTU gets a fresh resume ticket, in Alives.
const RESUME_EVERY: u64 = 100;
/// How often the list of servers is looked at, in Alives.
const SERVERS_EVERY: u64 = 10;
/// How long one message may take to be taken.
const SEND_TIME: Duration = Duration::from_secs(5);
/// The most messages that other tasks have for one link.
const QUEUE_MAX: usize = 64;

/// How a link ended.
enum End {
    /// The DTU went, or the connection broke.
    Gone,
    /// We close it.
    Close(close::Close),
}

impl From<StreamError> for End {
    fn from(e: StreamError) -> Self {
        match e {
            StreamError::Io(_) => End::Gone,
            StreamError::Decode(_) => End::Close(close::PROTOCOL),
        }
    }
}

/// The session that the DTU was attached to on this link.
struct Current {
    insert: u64,
    token: Token,
    about: TokenSession,
}

/// An insert's course that is under way; it ends with this.
struct Placing(tokio::task::AbortHandle);

impl Drop for Placing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Link {
    shared: Arc<Shared>,
    id: LinkId,
    dtu: DtuId,
    address: Ipv4Addr,
    writer: MessageWriter<quinn::SendStream, ToDtu>,
    /// The newest insert on this link.
    insert: u64,
    placing: Option<Placing>,
    news: mpsc::Sender<(u64, News)>,
    current: Option<Current>,
    servers: Vec<Server>,
    alive_seq: u64,
}

/// Serves a DTU until its link ends.
pub async fn serve(shared: Arc<Shared>, id: LinkId, met: Met) {
    let Met { connection, reader, writer, dtu, hello } = met;
    let IpAddr::V4(address) = connection.remote_address().ip() else { return };
    tracing::info!("desktop unit {dtu:?} {:?} is connected from {address}", hello.dtu_name);
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    {
        let mut links = lock(&shared.links);
        for other in links.values().filter(|other| other.dtu == dtu) {
            let _ = other.sender.try_send(ToLink::Replaced);
        }
        links.insert(id, LinkEntry { dtu, address, sender });
    }
    let (news, news_queue) = mpsc::channel(QUEUE_MAX);
    let mut link = Link {
        shared: shared.clone(),
        id,
        dtu,
        address,
        writer,
        insert: 0,
        placing: None,
        news,
        current: None,
        servers: Vec::new(),
        alive_seq: 0,
    };
    let end = link.run(reader, queue, news_queue).await;
    drop(link.placing.take());
    lock(&shared.links).remove(&id);
    lock(&shared.care).release(id);
    lock(&shared.auth).close(id);
    match end {
        End::Gone => tracing::info!("desktop unit {dtu:?} is gone"),
        End::Close(why) => {
            complain(&shared, address.into(), &format!("control link closed: {}", why.reason));
            why.apply(&connection);
        }
    }
}

impl Link {
    async fn run(
        &mut self,
        mut reader: MessageReader<quinn::RecvStream, ToServer>,
        mut queue: mpsc::Receiver<ToLink>,
        mut news: mpsc::Receiver<(u64, News)>,
    ) -> End {
        match self.converse(&mut reader, &mut queue, &mut news).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn converse(
        &mut self,
        reader: &mut MessageReader<quinn::RecvStream, ToServer>,
        queue: &mut mpsc::Receiver<ToLink>,
        news: &mut mpsc::Receiver<(u64, News)>,
    ) -> Result<End, End> {
        let server = self.shared.config.name.clone();
        let alive_every_ms = ALIVE_EVERY.as_millis() as u32;
        self.send(Welcome { version: VERSION, server, alive_every_ms }).await?;
        self.send_servers().await?;
        let mut alive = tokio::time::interval(ALIVE_EVERY);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                message = reader.next() => match message? {
                    None => return Ok(End::Gone),
                    Some(message) => self.hear(message).await?,
                },
                Some(told) = queue.recv() => match told {
                    ToLink::Tell(message) => self.send(message).await?,
                    ToLink::Ended { session, epoch, text } => {
                        let over = |current: &mut Current| {
                            (current.about.session, current.about.epoch) == (session, epoch)
                        };
                        if self.current.take_if(over).is_some() {
                            self.send(SessionEnded { session, text }).await?;
                        }
                    }
                    ToLink::Replaced => return Ok(End::Close(close::REPLACED)),
                },
                Some((insert, news)) = news.recv() => {
                    // What was under way for an older insert does not count.
                    if insert == self.insert {
                        self.take_news(news).await?;
                    }
                }
                _ = alive.tick() => self.say_alive().await?,
            }
        }
    }

    async fn send(&mut self, message: impl Into<ToDtu>) -> Result<(), End> {
        match tokio::time::timeout(SEND_TIME, self.writer.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Close(close::STUCK)),
        }
    }

    async fn hear(&mut self, message: ToServer) -> Result<(), End> {
        match message {
            ToServer::Hello(_) => Err(End::Close(close::PROTOCOL)),
            ToServer::Insert(insert) => self.insert(insert).await,
            ToServer::ChallengeAnswer(answer) => self.answer(answer).await,
            ToServer::Remove(remove) => {
                self.remove(remove.insert);
                Ok(())
            }
            ToServer::Unknown(kind) => {
                tracing::debug!("desktop unit {:?}: message of unknown kind {kind}", self.dtu);
                Ok(())
            }
        }
    }

    async fn insert(&mut self, insert: Insert) -> Result<(), End> {
        let number = insert.insert;
        if number < self.insert {
            return Ok(());
        }
        self.placing = None;
        self.current = None;
        lock(&self.shared.care).release(self.id);
        self.insert = number;
        let (token, cause) = (insert.token.clone(), insert.cause);
        tracing::info!("desktop unit {:?} inserts {token:?}, cause {cause:?}", self.dtu);
        let nonce = super::clock::random();
        let now = self.shared.clock.now();
        let shared = self.shared.clone();
        let ahead_ms = |issuer: &_| {
            lock(&shared.group.manager).topology().host(issuer).map_or(0, |host| host.ahead_ms)
        };
        let verdict =
            lock(&self.shared.auth).insert(self.id, self.dtu, insert, nonce, now, ahead_ms);
        match verdict {
            Ok(Verdict::Admit(admitted)) => {
                self.place(*admitted);
                Ok(())
            }
            Ok(Verdict::Challenge) => self.send(Challenge { insert: number, nonce }).await,
            Err(e) => self.refuse_token(number, &e).await,
        }
    }

    async fn answer(&mut self, answer: ChallengeAnswer) -> Result<(), End> {
        if answer.insert != self.insert {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let admitted = lock(&self.shared.auth).answer(self.id, &answer, now);
        match admitted {
            Ok(admitted) => {
                self.place(*admitted);
                Ok(())
            }
            Err(e) => self.refuse_token(answer.insert, &e).await,
        }
    }

    async fn refuse_token(&mut self, insert: u64, why: &AuthError) -> Result<(), End> {
        tracing::info!("desktop unit {:?} is refused: {why}", self.dtu);
        self.send(Refused { insert, code: why.code(), text: why.to_string() }).await
    }

    fn place(&mut self, admitted: Admitted) {
        let news = self.news.clone();
        let course = placing::run(self.shared.clone(), admitted, self.address, news);
        self.placing = Some(Placing(tokio::spawn(course).abort_handle()));
    }

    /// The token went: whatever is under way for it ends, and its session is
    /// told, in case the display link's own word is late.
    fn remove(&mut self, insert: u64) {
        let now = self.shared.clock.now();
        lock(&self.shared.auth).remove(self.id, self.dtu, insert, now);
        if insert < self.insert {
            return;
        }
        self.placing = None;
        lock(&self.shared.care).release(self.id);
        if let Some(current) = self.current.take() {
            tracing::info!("desktop unit {:?} removes {:?}", self.dtu, current.token);
            let keeper = (current.about.session, current.about.epoch);
            if let Some(keeper) = lock(&self.shared.keepers).get(&keeper) {
                keeper.tell(ToKeeper::Detach(DetachDtu { dtu: self.dtu, insert }));
            }
        }
    }

    async fn take_news(&mut self, news: News) -> Result<(), End> {
        let insert = self.insert;
        match news {
            News::Progress(stage, host) => self.send(Progress { insert, stage, host }).await,
            News::Done { token, act: Act::Attach(attachment) } => {
                self.placing = None;
                self.attach(token, attachment).await
            }
            News::Done { token, act: Act::Redirect { to, found, connection } } => {
                self.placing = None;
                let address = lock(&self.shared.group.manager).reaches(&to, self.address);
                let Some(address) = address else { return Ok(()) };
                tracing::info!("desktop unit {:?} goes to {to}, which has its session", self.dtu);
                let found = TokenSession { connection: connection.unwrap_or(0), ..found };
                let permit = Permit::Redirect { to: to.clone(), plan: Plan::Existing };
                let ticket = self.ticket(permit, &token, found);
                let to = Server { name: to, address };
                let plan = RedirectPlan::Existing;
                self.send(Redirect { insert, to, ticket, plan }).await
            }
            News::Done { act: Act::Refuse { code, text }, .. } => {
                self.placing = None;
                tracing::warn!("desktop unit {:?} is refused: {text}", self.dtu);
                self.send(Refused { insert, code, text }).await
            }
            News::Done { .. } => {
                let (code, text) = (RefusalCode::SessionFailed, "insert again".into());
                self.send(Refused { insert, code, text }).await
            }
        }
    }

    async fn attach(&mut self, token: Token, attachment: Attachment) -> Result<(), End> {
        let Attachment { session, epoch, host, endpoint, connection, origin, notice } = attachment;
        tracing::info!(
            "desktop unit {:?} is attached to session {session:?} epoch {epoch} on {host} \
             ({origin:?}) at {endpoint}",
            self.dtu
        );
        let insert = self.insert;
        let about = TokenSession { session, epoch, connection };
        let ticket = self.ticket(Permit::Attach, &token, about);
        let resume = self.ticket(Permit::Resume, &token, about);
        if origin == Origin::Caretaken {
            let (owner, token) = (host.clone(), token.clone());
            let cared = Cared { owner, token, session, epoch, connection, insert };
            lock(&self.shared.care).take(self.id, cared);
        }
        self.current = Some(Current { insert, token, about });
        self.send(Attach { insert, session, epoch, host, endpoint, ticket, resume, origin, notice })
            .await
    }

    fn ticket(&self, permit: Permit, token: &Token, about: TokenSession) -> SealedTicket {
        let whose = Whose { dtu: self.dtu, token, insert: self.insert };
        tickets::sign(&self.shared, permit, whose, about)
    }

    async fn say_alive(&mut self) -> Result<(), End> {
        self.alive_seq += 1;
        let seq = self.alive_seq;
        let resume = match &self.current {
            Some(current) if seq.is_multiple_of(RESUME_EVERY) => {
                let whose = Whose { dtu: self.dtu, token: &current.token, insert: current.insert };
                Some(tickets::sign(&self.shared, Permit::Resume, whose, current.about))
            }
            _ => None,
        };
        self.send(Alive { seq, resume }).await?;
        if seq.is_multiple_of(SERVERS_EVERY) {
            self.send_servers().await?;
        }
        Ok(())
    }

    /// Tells the list of servers if it changed.
    async fn send_servers(&mut self) -> Result<(), End> {
        let servers = lock(&self.shared.group.manager).servers_for(self.address);
        if servers == self.servers {
            return Ok(());
        }
        self.servers = servers.clone();
        self.send(Servers { servers: servers.into_iter().collect() }).await
    }
}
