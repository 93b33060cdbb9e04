//! The picture that rests: what the DTU is told of it, and what of it is sent
//! again because the DTU has something else.

use super::{Action, Core, LinkId};
use afterglow_wire::ids::Size;
use afterglow_wire::truth::{BlockDigest, Differs, Truth};

/// What the DTU was told last, until it answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    frame: u64,
    blocks: usize,
}

impl Core {
    /// An attachment's picture rests: the connection that is told, and what.
    pub fn truth(
        &mut self,
        attachment: u64,
        frame: u64,
        size: Size,
        blocks: Vec<BlockDigest>,
    ) -> Option<(LinkId, Truth)> {
        let current = self.current.as_mut()?;
        if current.attachment.number != attachment {
            return None;
        }
        current.told = Some(Told { frame, blocks: blocks.len() });
        Some((current.link, Truth { frame, size, blocks: blocks.into_iter().collect() }))
    }

    /// The DTU has another picture; it says so at most once for each truth.
    pub(super) fn differs(&mut self, differs: Differs) -> Result<(), String> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let told = current.told.take().filter(|told| told.frame == differs.frame);
        let told =
            told.ok_or_else(|| "a comparison was answered that was not asked for".to_owned())?;
        let blocks = differs.blocks.into_vec();
        if blocks.iter().any(|block| usize::from(*block) >= told.blocks) {
            return Err("a block differs that the picture does not have".into());
        }
        tracing::warn!(blocks = blocks.len(), "the DTU had another picture; it is repaired");
        let attachment = current.attachment.number;
        self.actions.push_back(Action::Repair { attachment, blocks });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, ONE, attach, closed, core, drain, ticket};
    use super::*;
    use afterglow_wire::display::{DetachReason, ToSession};

    #[test]
    fn a_comparison_is_answered_once_and_only_if_it_was_asked_for() {
        let differs = |frame, block| {
            ToSession::Differs(Differs { frame, blocks: [block].into_iter().collect() })
        };
        let size = Size::new(300, 200).unwrap();
        let mut told = core();
        attach(&mut told, 1, ONE, &ticket(ONE, 1, 1));
        assert_eq!(told.truth(2, 7, size, vec![[0; 8]; 2]), None, "of another attachment");
        assert!(told.truth(1, 7, size, vec![[0; 8]; 2]).is_some());
        told.message(1, differs(7, 1), NOW);
        assert_eq!(drain(&mut told), [Action::Repair { attachment: 1, blocks: vec![1] }]);
        for (frame, block, truth) in [(7, 1, None), (8, 1, Some(7)), (7, 2, Some(7))] {
            let mut core = core();
            attach(&mut core, 1, ONE, &ticket(ONE, 1, 1));
            if let Some(frame) = truth {
                core.truth(1, frame, size, vec![[0; 8]; 2]);
            }
            core.message(1, differs(frame, block), NOW);
            let closed = closed(&drain(&mut core));
            assert_eq!(closed, Some((1, Some(DetachReason::Protocol))), "{frame} {block}");
        }
    }
}
