//! At most two frames under way: a slow link gets fewer frames, never a queue
//! of old ones.

use afterglow_wire::limits::FRAMES_UNACKNOWLEDGED_MAX;

/// Why an acknowledgement cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frame {number} was acknowledged, but {sent} is the last one sent and {shown} shown")]
pub struct WrongFrame {
    number: u64,
    sent: u64,
    shown: u64,
}

/// Counts one attachment's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pacing {
    sent: u64,
    shown: u64,
}

impl Pacing {
    /// True if another frame may be sent.
    pub fn may_send(&self) -> bool {
        self.sent - self.shown < u64::from(FRAMES_UNACKNOWLEDGED_MAX)
    }

    /// The last frame that was sent, if it is shown.
    pub fn at_rest(&self) -> Option<u64> {
        (self.sent > 0 && self.sent == self.shown).then_some(self.sent)
    }

    /// Counts a frame that is sent, and gives its number.
    pub fn send(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Notes that the DTU shows a frame, and with it all before.
    pub fn shown(&mut self, number: u64) -> Result<(), WrongFrame> {
        if number <= self.shown || number > self.sent {
            return Err(WrongFrame { number, sent: self.sent, shown: self.shown });
        }
        self.shown = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dtu_that_never_acknowledges_gets_two_frames() {
        let mut pacing = Pacing::default();
        let mut frames = 0;
        while pacing.may_send() {
            pacing.send();
            frames += 1;
        }
        assert_eq!(frames, 2);
        pacing.shown(1).unwrap();
        assert!(pacing.may_send());
    }

    #[test]
    fn acknowledgements_are_of_frames_that_were_sent_and_only_once() {
        let mut pacing = Pacing::default();
        assert!(pacing.shown(1).is_err());
        pacing.send();
        pacing.send();
        pacing.shown(2).unwrap();
        assert!(pacing.shown(1).is_err());
        assert!(pacing.shown(2).is_err());
        assert!(pacing.shown(3).is_err());
    }
}
