//! What became of the keys: those that were typed against those that were
//! received.

/// How many went wrong, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many were typed.
    pub sent: u64,
    /// Typed, and never received.
    pub lost: u64,
    /// Received, and never typed (or not so often).
    pub doubled: u64,
    /// Received at another place than they were typed at.
    pub reordered: u64,
}

impl Tally {
    /// Compares: the longest common subsequence is what came right. A key that
    /// is missing at one place and too many at another has changed its place.
    pub fn of(sent: &[char], received: &[char]) -> Self {
        let prefix = sent.iter().zip(received).take_while(|(one, other)| one == other).count();
        let (sent_rest, received_rest) = (&sent[prefix..], &received[prefix..]);
        let (missing, mut extra) = difference(sent_rest, received_rest);
        let mut tally = Tally { sent: sent.len() as u64, ..Tally::default() };
        for c in missing {
            match extra.iter().position(|other| *other == c) {
                Some(at) => {
                    extra.swap_remove(at);
                    tally.reordered += 1;
                }
                None => tally.lost += 1,
            }
        }
        tally.doubled = extra.len() as u64;
        tally
    }
}

/// What only one of them has, by their longest common subsequence.
fn difference(one: &[char], other: &[char]) -> (Vec<char>, Vec<char>) {
    let width = other.len() + 1;
    // The length of the longest common subsequence of what is left from each
    // place on.
    let mut lengths = vec![0_u32; (one.len() + 1) * width];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            lengths[i * width + j] = match one[i] == other[j] {
                true => lengths[(i + 1) * width + j + 1] + 1,
                false => lengths[(i + 1) * width + j].max(lengths[i * width + j + 1]),
            };
        }
    }
    let (mut missing, mut extra) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < one.len() && j < other.len() {
        if one[i] == other[j] {
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            missing.push(one[i]);
            i += 1;
        } else {
            extra.push(other[j]);
            j += 1;
        }
    }
    missing.extend_from_slice(&one[i..]);
    extra.extend_from_slice(&other[j..]);
    (missing, extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sent: &str, received: &str) -> (u64, u64, u64) {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let tally = Tally::of(&chars(sent), &chars(received));
        (tally.lost, tally.doubled, tally.reordered)
    }

    #[test]
    fn what_went_wrong_is_counted_by_its_kind() {
        assert_eq!(tally("", ""), (0, 0, 0));
        assert_eq!(tally("abcdef", "abcdef"), (0, 0, 0));
        assert_eq!(tally("abcdef", "abdef"), (1, 0, 0));
        assert_eq!(tally("abcdef", "abccdef"), (0, 1, 0));
        assert_eq!(tally("abcdef", "abdcef"), (0, 0, 1));
        assert_eq!(tally("abcdef", "abc"), (3, 0, 0));
        assert_eq!(tally("abc", "abcabc"), (0, 3, 0));
        assert_eq!(tally("abcdef", "aBcdef"), (1, 1, 0), "a Shift that was lost is seen");
    }
}
