//! A session's keeper and worker: the real worker core, and a screen that is
//! one number.

use crate::fault::Fault;
use crate::network::{Machine, machine_of};
use crate::plan::MS_US;
use crate::queue::{Due, Process, ServerLife, WorldAct};
use crate::stream::{Acceptor, Piece};
use crate::world::World;
use afterglow_server::core::{Event, Launch};
use afterglow_server::keeper::protocol::{Attachment, AttachmentState};
use afterglow_server::worker::core::{About, Action, Core, Now};
use afterglow_wire::codec::Message;
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::display::{FramePart, InputDone, ToSession};
use afterglow_wire::ids::{DtuId, Epoch, SessionId, Size, Token};
use afterglow_wire::limits::FRAMES_UNACKNOWLEDGED_MAX;
use afterglow_wire::local::{Clocks, Status, ToKeeper};
use afterglow_wire::ticket::Ticket;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// One copy of a session.
pub struct Copy {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whose it is.
    pub token: Token,
    /// The server on whose machine it runs.
    pub host: usize,
    /// Its display link's port.
    pub port: u16,
    /// True while its keeper runs.
    pub alive: bool,
    /// True while its worker runs.
    pub working: bool,
    /// True while its programs stand still.
    pub frozen: bool,
    /// Counts its workers.
    pub life: u32,
    /// When it came up.
    pub born_us: u64,
    /// Its decisions.
    pub core: Core,
    about: About,
    clocks: Clocks,
    /// What its keeper knows of the last attachment.
    pub last: Option<Attachment>,
    position: Option<InputDone>,
    unshown: u64,
    frame: u64,
    size: Size,
    tick_us: Option<u64>,
    /// For the invariants: the input that was put in.
    pub typed: BTreeSet<u32>,
    /// For the invariants: the highest insert of each desktop unit whose
    /// remove this worker got.
    pub removed: BTreeMap<DtuId, u64>,
    /// For the invariants: the last attachment.
    pub order: Option<Attachment>,
    /// For the invariants: the ticket that came last.
    pub ticket: Option<Ticket>,
}

impl Copy {
    /// True if it is this copy.
    pub fn is(&self, session: SessionId, epoch: Epoch) -> bool {
        (self.session, self.epoch) == (session, epoch)
    }

    /// What its keeper says.
    pub fn status(&self) -> Status {
        let shown = self.last.filter(|last| last.state == AttachmentState::Shown);
        Status {
            session: self.session,
            epoch: self.epoch,
            token: self.token.clone(),
            port: self.port,
            shown_on: shown.map(|last| last.dtu),
            connection: self.last.map_or(0, |last| last.connection),
            services: Default::default(),
            frozen: self.frozen,
            trouble: String::new(),
        }
    }
}

impl World {
    /// The copy whose worker listens at an address.
    pub fn copy_at(&self, endpoint: SocketAddrV4) -> Option<usize> {
        let Machine::Server(host) = machine_of(*endpoint.ip(), self.plan.servers) else {
            return None;
        };
        let copy = self.oracle.by_port.get(&(host, endpoint.port())).copied()?;
        self.copies[copy].working.then_some(copy)
    }

    /// A keeper is started.
    pub fn launch(&mut self, by: ServerLife, launch: Box<Launch>) {
        let (session, epoch) = (launch.row.id, launch.row.epoch);
        let ready = self.oracle.prepared.remove(&(by.server, session, epoch));
        let wait_us = match ready {
            true => self.rng.range(10, 60) * MS_US,
            false => self.rng.range(100, 500) * MS_US,
        };
        let fails = !self.calm && self.plan.meets(Fault::StartFails) && self.rng.chance(200_000);
        if fails {
            self.counts.add(Fault::StartFails);
            return self.after(wait_us, Due::LaunchFailed { by, session, epoch });
        }
        let host_life = self.servers[by.server].host_life;
        self.after(wait_us, Due::Launched { by, host_life, launch });
    }

    /// A keeper could not bring its session up.
    pub fn launch_failed(&mut self, by: ServerLife, session: SessionId, epoch: Epoch) {
        if self.lives(by) {
            let result = Err("the X server did not start".to_owned());
            self.tell_server(by.server, Event::Started { session, epoch, result });
        }
    }

    /// A keeper has brought its session up.
    pub fn launched(&mut self, by: ServerLife, host_life: u32, launch: Launch) {
        let host = by.server;
        if !self.servers[host].host_up || self.servers[host].host_life != host_life {
            return;
        }
        let port = self.servers[host].next_port;
        self.servers[host].next_port = if port >= 7999 { 7100 } else { port + 1 };
        let Launch { row, screen, clocks, .. } = launch;
        let about = About {
            session: row.id,
            epoch: row.epoch,
            token: row.token.clone(),
            verifier: self.verifier,
            size_max: screen.size,
            quality: Default::default(),
            guards: self.plan.guards,
        };
        let index = self.copies.len();
        let now = Now { steady_ms: 0, wall_ms: self.wall_ms(self.servers[host].offset_ms) };
        self.copies.push(Copy {
            session: row.id,
            epoch: row.epoch,
            token: row.token,
            host,
            port,
            alive: true,
            working: true,
            frozen: false,
            life: 0,
            born_us: self.now_us,
            core: Core::new(about.clone(), clocks.clone(), None, None, now),
            about,
            clocks,
            last: None,
            position: None,
            unshown: 0,
            frame: 0,
            size: screen.size,
            tick_us: None,
            typed: BTreeSet::new(),
            removed: BTreeMap::new(),
            order: None,
            ticket: None,
        });
        let endpoint = SocketAddrV4::new(self.address_of(host), port);
        self.oracle.by_port.insert((host, port), index);
        self.trace.note(self.now_us, "launched", index as u64, &row.id.0);
        self.trace.say(self.now_us, || {
            format!("session {:?} epoch {} runs at {endpoint} (copy {index})", row.id, row.epoch)
        });
        self.judge_launched(index);
        if self.lives(by) {
            self.servers[host].known.insert(index);
            let status = self.copies[index].status();
            self.tell_server(host, Event::KeeperStatus(status));
            let (session, epoch, result) = (row.id, row.epoch, Ok(port));
            self.tell_server(host, Event::Started { session, epoch, result });
        }
    }

    fn tell_keeper_status(&mut self, copy: usize) {
        let host = self.copies[copy].host;
        if self.servers[host].core.is_some() {
            let to = self.servers[host].life_of(host);
            self.after(200, Due::KeeperStands { to, copy });
        }
    }

    /// A keeper's word is at its server.
    pub fn keeper_stands(&mut self, to: ServerLife, copy: usize) {
        let known = self.servers[to.server].known.contains(&copy);
        if self.lives(to) && known && self.copies[copy].alive {
            let status = self.copies[copy].status();
            self.tell_server(to.server, Event::KeeperStatus(status));
        }
    }

    /// A server's word is at a session.
    pub fn keeper_hears(&mut self, copy: usize, message: ToKeeper) {
        let Ok(message) = ToKeeper::decode(message.encode()) else { return };
        match &message {
            ToKeeper::Freeze(_) => return self.freeze(copy),
            ToKeeper::End(_) if self.copies[copy].frozen => return self.end_copy(copy, true),
            _ if !self.copies[copy].working => return,
            _ => {}
        }
        if let ToKeeper::Detach(detach) = &message {
            self.note_removed(copy, detach.dtu, detach.insert);
        }
        self.trace.note(self.now_us, "to keeper", copy as u64, &message.encode());
        self.copies[copy].core.server_said(message);
        self.drive_copy(copy);
    }

    /// Its session was taken over elsewhere: nobody is shown this copy any
    /// more, and its programs change nothing.
    fn freeze(&mut self, copy: usize) {
        let found = &mut self.copies[copy];
        if !found.alive || found.frozen {
            return;
        }
        let life = found.life;
        (found.frozen, found.working, found.last) = (true, false, None);
        self.trace.note(self.now_us, "frozen", copy as u64, &[]);
        self.trace.say(self.now_us, || format!("copy {copy} is frozen"));
        self.judge_frozen(copy);
        self.reset_links(copy, life);
        self.tell_keeper_status(copy);
    }

    /// An earlier copy goes on as a session of its own.
    pub fn keeper_becomes(&mut self, copy: usize, becomes: SessionId) {
        let found = &mut self.copies[copy];
        if !found.alive || found.session == becomes {
            return;
        }
        let was = (found.session, found.epoch);
        (found.session, found.epoch, found.frozen) = (becomes, Epoch::FIRST, false);
        (found.about.session, found.about.epoch) = (becomes, Epoch::FIRST);
        (found.last, found.position, found.order, found.ticket) = (None, None, None, None);
        self.trace.note(self.now_us, "goes on", copy as u64, &becomes.0);
        self.trace.say(self.now_us, || format!("copy {copy} goes on as {becomes:?}"));
        self.judge_goes_on(copy, was);
        self.start_worker(copy);
    }

    /// A copy's clocks.
    pub fn copy_now(&self, copy: usize) -> Now {
        let found = &self.copies[copy];
        Now {
            steady_ms: (self.now_us - found.born_us) / MS_US,
            wall_ms: self.wall_ms(self.servers[found.host].offset_ms),
        }
    }

    /// A message is at a worker's end of a display link.
    pub fn copy_hears(&mut self, copy: usize, number: u64, body: Bytes) {
        if !self.copies[copy].working {
            return;
        }
        let now = self.copy_now(copy);
        match ToSession::decode(body) {
            Ok(message) => {
                self.note_to_copy(copy, number, &message);
                self.copies[copy].core.message(number, message, now);
            }
            Err(error) => self.copies[copy].core.protocol_error(number, error.to_string()),
        }
        self.drive_copy(copy);
    }

    /// A display link is gone at a worker's end.
    pub fn copy_link_closed(&mut self, copy: usize, life: u32, number: u64) {
        if self.copies[copy].working && self.copies[copy].life == life {
            let now = self.copy_now(copy);
            self.copies[copy].core.closed(number, now);
            self.drive_copy(copy);
        }
    }

    /// A worker's timer.
    pub fn copy_tick(&mut self, copy: usize) {
        self.copies[copy].tick_us = None;
        if self.copies[copy].working {
            let now = self.copy_now(copy);
            self.copies[copy].core.tick(now);
            self.drive_copy(copy);
        }
    }

    fn drive_copy(&mut self, copy: usize) {
        while let Some(action) = self.copies[copy].core.poll() {
            self.copy_does(copy, action);
        }
        let found = &mut self.copies[copy];
        if let Some(at_ms) = found.core.deadline_ms() {
            let at_us = (found.born_us + at_ms * MS_US).max(self.now_us + MS_US);
            if found.tick_us.is_none_or(|set_us| at_us < set_us) {
                found.tick_us = Some(at_us);
                self.queue.push(at_us, Due::Tick(Process::Copy(copy)));
            }
        }
    }

    /// Does what a worker decided.
    pub fn copy_does(&mut self, copy: usize, action: Action) {
        self.judge_copy(copy, &action);
        match action {
            Action::Send(link, message) => {
                self.send_piece(link, false, Piece::Message(message.encode_framed()));
            }
            Action::SayAlive(link, alive) => {
                let waits = self.streams.get(&link).is_none_or(|stream| stream.down.stalled);
                if !waits {
                    let message = afterglow_wire::display::FromSession::from(alive);
                    self.send_piece(link, false, Piece::Message(message.encode_framed()));
                }
            }
            Action::Close { link, farewell, why } => {
                self.trace.say(self.now_us, || format!("copy {copy} closes {link}: {why}"));
                if let Some(farewell) = farewell {
                    let message = afterglow_wire::display::FromSession::from(farewell);
                    self.send_piece(link, false, Piece::Message(message.encode_framed()));
                }
                self.acceptor_closes(link);
            }
            Action::Report(attachment) => {
                self.copies[copy].last = Some(attachment);
                self.tell_keeper_status(copy);
            }
            Action::Show { attachment, size } => {
                let found = &mut self.copies[copy];
                (found.unshown, found.frame, found.size) = (0, 0, size);
                self.after(2 * MS_US, Due::Draw { copy, attachment });
            }
            Action::FrameShown { number, .. } => {
                let found = &mut self.copies[copy];
                found.unshown = found.frame.saturating_sub(number);
            }
            Action::Type { first, events } => {
                let seq = first.seq + events.len() as u64 - 1;
                let attachment = first.attachment;
                self.copies[copy].position = Some(InputDone { attachment, seq });
                self.after(MS_US, Due::Typed { copy, attachment, seq });
            }
            Action::BeginInput(position) => self.copies[copy].position = Some(position),
            Action::Finish => self.end_copy(copy, true),
            Action::Admit(_)
            | Action::Hide
            | Action::Resize(_)
            | Action::Diagnose { .. }
            | Action::SetQuality(_)
            | Action::Repair { .. }
            | Action::Layout(_)
            | Action::ReleaseAll => {}
        }
    }

    /// A session draws, if the desktop unit keeps up.
    pub fn draw(&mut self, copy: usize, attachment: u64) {
        let now = self.copy_now(copy);
        let found = &mut self.copies[copy];
        if !found.working || found.unshown >= u64::from(FRAMES_UNACKNOWLEDGED_MAX) {
            return;
        }
        let Some(link) = found.core.frame(attachment, now) else { return };
        found.frame += 1;
        found.unshown += 1;
        let rect = Rect::new(0, 0, found.size.width_px(), found.size.height_px());
        let [a, b, c, _] = (copy as u32).to_le_bytes();
        let mut commands = vec![Command::Fill { rect, color: [a, b, c, 0] }];
        if found.frame == 1 {
            commands.insert(0, Command::Size(found.size));
        }
        let part = FramePart { number: found.frame, last: true, commands };
        let message = afterglow_wire::display::FromSession::from(part);
        self.send_piece(link, false, Piece::Message(message.encode_framed()));
    }

    /// Input was put in: it is acknowledged, and the picture changes.
    pub fn typed(&mut self, copy: usize, attachment: u64, seq: u64) {
        if !self.copies[copy].working {
            return;
        }
        if let Some(link) = self.copies[copy].core.input_link() {
            let done = afterglow_wire::display::FromSession::from(InputDone { attachment, seq });
            self.send_piece(link, false, Piece::Message(done.encode_framed()));
        }
        let shown = self.copies[copy].last.filter(|last| last.state == AttachmentState::Shown);
        if let Some(shown) = shown.filter(|_| self.plan.echo) {
            self.after(MS_US, Due::Draw { copy, attachment: shown.number });
        }
    }

    /// A copy is over: by itself, or because its keeper was lost.
    pub fn end_copy(&mut self, copy: usize, by_itself: bool) {
        let found = &mut self.copies[copy];
        if !found.alive {
            return;
        }
        (found.alive, found.working) = (false, false);
        let (host, life, session, epoch) = (found.host, found.life, found.session, found.epoch);
        self.ends_vanish(false, |stream| stream.acceptor == Acceptor::Worker { copy, life });
        if self.servers[host].known.remove(&copy) && self.servers[host].core.is_some() {
            let text = "The session ended.".to_owned();
            self.tell_server(host, Event::KeeperEnded { session, epoch, text, by_itself });
        }
    }

    /// A worker dies; its keeper starts another.
    pub fn crash_worker(&mut self, copy: usize) {
        let found = &mut self.copies[copy];
        if !found.working {
            return;
        }
        found.working = false;
        let life = found.life;
        let wait_us = self.rng.range(20, 300) * MS_US;
        // The new worker resets the old one's links; until then they are
        // silent.
        self.ends_vanish(false, |stream| stream.acceptor == Acceptor::Worker { copy, life });
        self.after(wait_us, Due::World(WorldAct::StartWorker(copy)));
    }

    /// A keeper starts a worker again.
    pub fn start_worker(&mut self, copy: usize) {
        let found = &self.copies[copy];
        if !found.alive || found.working || found.frozen {
            return;
        }
        let now = self.copy_now(copy);
        let old = self.copies[copy].life;
        let found = &mut self.copies[copy];
        found.life += 1;
        found.working = true;
        self.oracle.workers.insert(copy, self.now_us);
        found.tick_us = None;
        found.removed.clear();
        let last = found.last.map(|last| match last.state {
            AttachmentState::Shown => Attachment { state: AttachmentState::Lost, ..last },
            _ => last,
        });
        found.last = last;
        let (about, clocks) = (found.about.clone(), found.clocks.clone());
        found.core = Core::new(about, clocks, last, found.position, now);
        self.reset_links(copy, old);
        self.drive_copy(copy);
        self.tell_keeper_status(copy);
    }

    /// The new worker answers the old one's links with a stateless reset.
    fn reset_links(&mut self, copy: usize, life: u32) {
        let of_old: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, s)| {
                s.acceptor == Acceptor::Worker { copy, life } && s.opener_gone.is_none()
            })
            .map(|(number, _)| *number)
            .collect();
        for number in of_old {
            self.send_piece(number, false, Piece::Fin);
            if let Some(stream) = self.streams.get_mut(&number) {
                // It is not an old message: it comes from the new worker.
                stream.acceptor_gone = Some(self.now_us);
            }
        }
    }

    /// A session's user logs out.
    pub fn log_out(&mut self, copy: usize) {
        if self.copies[copy].working {
            let text = "The session ended.".to_owned();
            self.copies[copy].core.server_said(ToKeeper::End(afterglow_wire::local::End { text }));
            self.drive_copy(copy);
        }
    }
}
