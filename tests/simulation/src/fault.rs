//! The kinds of faults, and how often each happened.

use std::collections::BTreeMap;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name,)* }
        impl Fault {
            /// Every kind.
            pub const EVERY: &[Fault] = &[$(Fault::$name,)*];
            /// Its name in reports.
            pub fn word(self) -> &'static str {
                match self { $(Fault::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// A datagram or a packet of a link is lost.
    Loss = "loss",
    /// A datagram comes twice.
    Duplication = "duplication",
    /// A datagram or packet comes so late that later ones overtake it.
    Reordering = "reordering",
    /// The network is slow and uneven for the whole run.
    Delay = "delay",
    /// One direction between two machines is cut.
    OneWay = "one-way partition",
    /// Both directions between two machines are cut.
    Partition = "partition",
    /// A machine is cut off from everybody.
    Isolation = "isolation",
    /// One interface of a server is down.
    Interface = "interface down",
    /// A server's process dies; its sessions go on.
    ServerCrash = "server crash",
    /// As [`Fault::ServerCrash`], while a DTU's display link lives on.
    ControlLost = "control lost, display alive",
    /// A server starts again without what it remembered of its last boot.
    LostDisk = "crash without disk",
    /// A server's machine dies, its sessions with it.
    HostCrash = "host crash",
    /// A session's worker dies and is started again.
    WorkerCrash = "worker crash",
    /// A process takes long for every event.
    Slow = "slow node",
    /// A process stands still for about a second.
    Pause = "pause",
    /// A machine's calendar jumps.
    ClockJump = "clock jump",
    /// A group message without a right signature, or no message at all.
    Forged = "forged message",
    /// A serverR that leads nowhere, or a tokenR that lies.
    ForgedAnswer = "forged answer",
    /// A datagram is sent again later, from another address.
    Replay = "replay",
    /// Many questions or names at once.
    Flood = "flood",
    /// A desktop unit that keeps to no rule.
    Rogue = "rogue desktop unit",
    /// All servers start at the same moment.
    SimultaneousBoot = "simultaneous boot",
    /// All desktop units are switched on at the same moment.
    PowerOn = "mass power-on",
    /// A desktop unit is switched off and on again.
    PowerCycle = "power cycle",
    /// A server cannot reach the store.
    StoreOutage = "store outage",
    /// The store did it, and its answer is lost.
    LostAnswer = "lost answer of the store",
    /// A server is taken out of service.
    Drain = "drain",
    /// A card goes in and out faster than the group can follow.
    CardRace = "card race",
    /// Two desktop units hold the same token.
    SharedToken = "shared token",
    /// A session cannot be started.
    StartFails = "start fails",
    /// A session's user logs out.
    LogOut = "log-out",
    /// A host that was cut off comes back and cannot reach the store; then
    /// the others' servers die, and users insert their cards again.
    StaleHost = "stale host alone",
}

/// How often each kind happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Fault, u64>);

impl Counts {
    /// Notes one.
    pub fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// How often it happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Counts) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }
}
