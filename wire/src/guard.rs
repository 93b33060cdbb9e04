//! The checks that the always-true list of ARCHITECTURE.md rests on, by name.
//!
//! A simulation that finds nothing proves little unless it could have found
//! something. So each of these checks can be taken away at run time, one at a
//! time, and the simulation has to notice. Programs always run with
//! [`Guards::ALL`]; nothing that they read can change it.

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// A DTU attaches to no epoch below the highest that it saw of a session.
    DtuHighestEpoch,
    /// A session takes only tickets for its own epoch, and no ticket that is
    /// older than its present attachment.
    SessionOrder,
    /// A server attaches nobody to a copy whose epoch the store or a peer
    /// knows to be lower than the session's.
    ConfirmEpoch,
    /// A DTU drops what servers say about an insert that a remove ended.
    DtuRemoveEndsInsert,
    /// A session refuses an insert that its DTU has removed.
    SessionRemoveEndsInsert,
    /// A token without a right ticket is challenged.
    Challenge,
    /// Only a signed group message counts.
    Signature,
    /// A group message that is not newer than the last changes nothing.
    Replay,
    /// A session is taken over only after its host stayed silent to probes.
    ProbeBeforeTakeover,
    /// A session that the DTU still shows is not taken over.
    ShownIsAlive,
    /// A take-over is a compare-and-set on the epoch.
    CompareAndSet,
    /// An insert follows at most three redirects.
    RedirectLimit,
    /// A server that the DTU could not reach is not chosen.
    Unreachable,
    /// A redirect to an existing session that is not there is refused.
    ExistingStaysExisting,
    /// Questions are answered at a bounded rate.
    AnswerRate,
    /// The list of untrusted hosts is bounded.
    UntrustedBound,
    /// A server that takes leave gets no new session.
    Draining,
    /// A server that is silent for too long counts as down.
    SilenceIsDown,
    /// A DTU goes on looking for a server after a failure.
    SearchGoesOn,
    /// A server that learns of a higher epoch sets its own copy aside.
    OlderCopyStale,
}

impl Guard {
    /// Every check.
    pub const EVERY: [Guard; 20] = [
        Guard::DtuHighestEpoch,
        Guard::SessionOrder,
        Guard::ConfirmEpoch,
        Guard::DtuRemoveEndsInsert,
        Guard::SessionRemoveEndsInsert,
        Guard::Challenge,
        Guard::Signature,
        Guard::Replay,
        Guard::ProbeBeforeTakeover,
        Guard::ShownIsAlive,
        Guard::CompareAndSet,
        Guard::RedirectLimit,
        Guard::Unreachable,
        Guard::ExistingStaysExisting,
        Guard::AnswerRate,
        Guard::UntrustedBound,
        Guard::Draining,
        Guard::SilenceIsDown,
        Guard::SearchGoesOn,
        Guard::OlderCopyStale,
    ];
}

/// Which checks are made: all, or all but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guards {
    without: Option<Guard>,
}

impl Guards {
    /// All of them.
    pub const ALL: Guards = Guards { without: None };

    /// All but this one: for a simulation that has to notice.
    pub fn all_but(guard: Guard) -> Self {
        Guards { without: Some(guard) }
    }

    /// True if this check is made.
    pub fn make(self, guard: Guard) -> bool {
        self.without != Some(guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_made_unless_it_is_the_one_taken_away() {
        for guard in Guard::EVERY {
            assert!(Guards::ALL.make(guard) && Guards::default().make(guard));
            let others = Guard::EVERY.into_iter().filter(|other| *other != guard);
            let without = Guards::all_but(guard);
            assert!(!without.make(guard) && others.into_iter().all(|other| without.make(other)));
        }
    }
}
