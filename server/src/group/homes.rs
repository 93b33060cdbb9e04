//! Are the home folders shared with the other servers? Each proves it to the
//! others: it writes a nonce into a file of its own under `home_root`, tells a
//! hash of it (its *mark*) in its host messages, and reads theirs.
//!
//! This decides whose file is read next, and what is to be thought of what is
//! in it. No I/O: servers, times and what was read come in.
//!
//! | what is in the file | what comes of it |
//! | --- | --- |
//! | what its server tells now, or told until a moment ago | shared |
//! | anything else, or there is no file | doubt; not shared, if it stays so for [`DOUBT_MS`] |
//! | it cannot be read, or not in time | not known: a mount that hangs proves nothing |
//!
//! The doubt is for network file systems, which show others what was written
//! only after a while.

use afterglow_wire::ids::ServerName;
use std::collections::BTreeMap;

/// The first bytes of the SHA-256 of what a server wrote.
pub type Mark = [u8; 8];

/// How long nothing that disagrees is believed, in milliseconds.
pub const DOUBT_MS: u64 = 10_000;
/// How often a file is read again while there is doubt, in milliseconds.
const DOUBTED_EVERY_MS: u64 = 2_500;
/// Likewise, once it is known that homes are not shared: somebody may mend it.
const NOT_SHARED_EVERY_MS: u64 = 15_000;
/// Likewise, where a file could not be read.
const FAILED_EVERY_MS: u64 = 30_000;
/// Likewise, where homes are shared.
const SHARED_EVERY_MS: u64 = 60_000;
/// For how long the mark before the present one is as good, in milliseconds.
const BEFORE_MS: u64 = 60_000;

/// Whether a server's homes are ours, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// They are.
    Shared,
    /// They are not; by what that is known.
    NotShared(String),
    /// Neither is proven; why.
    Unknown(String),
}

/// What is known of the homes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHomes {
    /// Our own mark, if our file could be written.
    pub own: Option<Mark>,
    /// The others' homes.
    pub others: BTreeMap<ServerName, Sharing>,
}

/// What a server's host messages say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teller {
    /// The server.
    pub name: ServerName,
    /// Its boot number.
    pub boot: u64,
    /// Its mark, if it tells one.
    pub mark: Option<Mark>,
}

/// What was found in place of a server's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file with this mark.
    File(Mark),
    /// Nothing.
    Nothing,
    /// Something that no server put there; what.
    Strange(String),
    /// It cannot be told; why.
    Failed(String),
}

/// What is known of one server's homes.
#[derive(Debug)]
struct Known {
    boot: u64,
    mark: Option<Mark>,
    /// The mark before, and until when it is as good.
    before: Option<(Mark, u64)>,
    sharing: Sharing,
    /// Since when what was read disagrees.
    doubt_since_ms: Option<u64>,
    /// When the file is to be read next.
    next_ms: u64,
}

/// The homes of all other servers that were heard.
#[derive(Debug, Default)]
pub struct Homes {
    known: BTreeMap<ServerName, Known>,
}

impl Homes {
    /// Notes what the servers that are up say.
    pub fn hear(&mut self, tellers: &[Teller], now_ms: u64) {
        for teller in tellers {
            let known = self.known.entry(teller.name.clone()).or_insert_with(|| Known {
                boot: teller.boot,
                mark: None,
                before: None,
                sharing: untold(&teller.name),
                doubt_since_ms: None,
                next_ms: now_ms,
            });
            known.hear(teller, now_ms);
        }
    }

    /// Forgets the servers that are not among these.
    pub fn keep(&mut self, names: impl Fn(&ServerName) -> bool) {
        self.known.retain(|name, _| names(name));
    }

    /// Whose file is to be read now: of those that are up, and of whom one is
    /// due, the one that waits for longest.
    pub fn next(&mut self, tellers: &[Teller], now_ms: u64) -> Option<ServerName> {
        let due = |known: &Known| known.mark.is_some() && known.next_ms <= now_ms;
        let due = tellers
            .iter()
            .filter_map(|teller| self.known.get_key_value(&teller.name))
            .filter(|(_, known)| due(known))
            .min_by_key(|(_, known)| known.next_ms);
        let name = due.map(|(name, _)| name.clone())?;
        if let Some(known) = self.known.get_mut(&name) {
            known.next_ms = now_ms.saturating_add(FAILED_EVERY_MS);
        }
        Some(name)
    }

    /// Notes what was found in place of a server's file. Gives what is known
    /// of its homes now, if that is new.
    pub fn found(&mut self, server: &ServerName, found: Found, now_ms: u64) -> Option<&Sharing> {
        let known = self.known.get_mut(server)?;
        let before = known.sharing.clone();
        known.judge(server, found, now_ms);
        let changed = std::mem::discriminant(&before) != std::mem::discriminant(&known.sharing);
        changed.then_some(&known.sharing)
    }

    /// What is known of all of them.
    pub fn others(&self) -> BTreeMap<ServerName, Sharing> {
        self.known.iter().map(|(name, known)| (name.clone(), known.sharing.clone())).collect()
    }
}

impl Known {
    fn hear(&mut self, teller: &Teller, now_ms: u64) {
        if (self.boot, self.mark) == (teller.boot, teller.mark) {
            return;
        }
        // A server that starts again may have another file system there: what
        // it wrote before proves nothing any more.
        let went_on = self.boot == teller.boot;
        let until_ms = now_ms.saturating_add(BEFORE_MS);
        self.before = self.mark.filter(|_| went_on).map(|mark| (mark, until_ms));
        (self.boot, self.mark) = (teller.boot, teller.mark);
        (self.doubt_since_ms, self.next_ms) = (None, now_ms);
        if self.mark.is_none() {
            self.sharing = untold(&teller.name);
        }
    }

    fn judge(&mut self, server: &ServerName, found: Found, now_ms: u64) {
        let fresh_before = self.before.filter(|(_, until_ms)| now_ms < *until_ms);
        let disagrees = match found {
            Found::File(mark) if self.mark == Some(mark) => None,
            Found::File(mark) if fresh_before.is_some_and(|(before, _)| before == mark) => None,
            Found::File(_) => Some(format!("what is there is not what {server} wrote")),
            Found::Nothing => Some(format!("what {server} wrote there is not here")),
            Found::Strange(text) => Some(text),
            Found::Failed(text) => {
                self.doubt_since_ms = None;
                self.sharing = Sharing::Unknown(text);
                self.next_ms = now_ms.saturating_add(FAILED_EVERY_MS);
                return;
            }
        };
        let every_ms = match disagrees {
            None => {
                self.doubt_since_ms = None;
                self.sharing = Sharing::Shared;
                SHARED_EVERY_MS
            }
            Some(text) => {
                let since_ms = *self.doubt_since_ms.get_or_insert(now_ms);
                let doubted = now_ms.saturating_sub(since_ms) < DOUBT_MS;
                match (&self.sharing, doubted) {
                    (Sharing::NotShared(_), true) => NOT_SHARED_EVERY_MS,
                    (_, true) => DOUBTED_EVERY_MS,
                    (_, false) => {
                        self.sharing = Sharing::NotShared(text);
                        NOT_SHARED_EVERY_MS
                    }
                }
            }
        };
        self.next_ms = now_ms.saturating_add(every_ms);
    }
}

fn untold(server: &ServerName) -> Sharing {
    Sharing::Unknown(format!(
        "{server} does not tell: it is older, or cannot write into its home_root"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    fn mud(boot: u64, mark: Option<Mark>) -> Vec<Teller> {
        vec![Teller { name: name("mud"), boot, mark }]
    }

    const FIRST: Mark = [1; 8];
    const SECOND: Mark = [2; 8];

    /// What is known of mud.
    fn sharing(homes: &Homes) -> Sharing {
        homes.others()[&name("mud")].clone()
    }

    /// Reads mud's file whenever it is due, up to a time; gives when it was
    /// read, and what was new.
    fn read_until(
        homes: &mut Homes,
        tellers: &[Teller],
        found: &Found,
        times_ms: std::ops::Range<u64>,
    ) -> (Vec<u64>, Vec<(u64, Sharing)>) {
        let (mut read, mut news) = (Vec::new(), Vec::new());
        for now_ms in times_ms.step_by(500) {
            homes.hear(tellers, now_ms);
            if homes.next(tellers, now_ms).is_some() {
                read.push(now_ms);
                let new = homes.found(&name("mud"), found.clone(), now_ms).cloned();
                news.extend(new.map(|new| (now_ms, new)));
            }
        }
        (read, news)
    }

    #[test]
    fn the_right_file_proves_it_at_once_and_is_read_again_now_and_then() {
        let (mut homes, tellers) = (Homes::default(), mud(1, Some(FIRST)));
        let (read, news) = read_until(&mut homes, &tellers, &Found::File(FIRST), 0..130_000);
        assert_eq!((read, news), (vec![0, 60_000, 120_000], vec![(0, Sharing::Shared)]));
    }

    #[test]
    fn another_file_or_none_is_believed_only_once_it_stays() {
        for found in [Found::File(SECOND), Found::Nothing, Found::Strange("a link".into())] {
            let (mut homes, tellers) = (Homes::default(), mud(1, Some(FIRST)));
            let (_, news) = read_until(&mut homes, &tellers, &found, 0..9_500);
            assert_eq!(news, vec![]);
            assert!(matches!(sharing(&homes), Sharing::Unknown(_)));
            let (_, news) = read_until(&mut homes, &tellers, &found, 9_500..60_000);
            // Told once.
            assert!(matches!(news[..], [(10_000, Sharing::NotShared(_))]), "{news:?}");
            let (_, news) = read_until(&mut homes, &tellers, &Found::File(FIRST), 60_000..80_000);
            assert_eq!(news.len(), 1, "{news:?}");
            assert_eq!(sharing(&homes), Sharing::Shared);
        }
    }

    #[test]
    fn a_file_that_shows_a_moment_late_causes_no_alarm() {
        let (mut homes, tellers) = (Homes::default(), mud(1, Some(FIRST)));
        assert_eq!(read_until(&mut homes, &tellers, &Found::Nothing, 0..8_000).1, vec![]);
        let (_, news) = read_until(&mut homes, &tellers, &Found::File(FIRST), 8_000..12_000);
        assert_eq!(news.len(), 1);
        assert_eq!(sharing(&homes), Sharing::Shared);
        // The doubt from before does not count later.
        homes.found(&name("mud"), Found::Nothing, 100_000);
        assert_eq!(sharing(&homes), Sharing::Shared);
    }

    #[test]
    fn a_file_that_was_written_anew_is_read_at_once_and_the_old_one_is_good_for_a_while() {
        let mut homes = Homes::default();
        read_until(&mut homes, &mud(1, Some(FIRST)), &Found::File(FIRST), 0..20_000);
        let tellers = mud(1, Some(SECOND));
        let (read, news) = read_until(&mut homes, &tellers, &Found::File(FIRST), 20_000..70_000);
        assert_eq!((read[0], news), (20_000, vec![]));
        assert_eq!(sharing(&homes), Sharing::Shared);
        // It should have come by now.
        let (_, news) = read_until(&mut homes, &tellers, &Found::File(FIRST), 70_000..130_000);
        assert!(matches!(news[..], [(_, Sharing::NotShared(_))]), "{news:?}");
    }

    #[test]
    fn what_a_server_wrote_before_it_started_again_proves_nothing() {
        let mut homes = Homes::default();
        read_until(&mut homes, &mud(1, Some(FIRST)), &Found::File(FIRST), 0..20_000);
        let tellers = mud(2, Some(SECOND));
        let (_, news) = read_until(&mut homes, &tellers, &Found::File(FIRST), 20_000..40_000);
        assert!(matches!(news[..], [(30_000, Sharing::NotShared(_))]), "{news:?}");
    }

    #[test]
    fn what_cannot_be_read_is_not_known_whatever_was_known_before() {
        let (mut homes, tellers) = (Homes::default(), mud(1, Some(FIRST)));
        let failed = Found::Failed("it hangs".into());
        read_until(&mut homes, &tellers, &Found::File(FIRST), 0..1_000);
        let (read, news) = read_until(&mut homes, &tellers, &failed, 1_000..100_000);
        assert_eq!(news, vec![(60_000, Sharing::Unknown("it hangs".into()))]);
        assert_eq!(read, vec![60_000, 90_000]);
    }

    #[test]
    fn a_server_that_does_not_tell_is_not_looked_for_and_one_that_is_silent_stays_known() {
        let mut homes = Homes::default();
        let (read, _) = read_until(&mut homes, &mud(1, None), &Found::Nothing, 0..60_000);
        assert_eq!(read, Vec::<u64>::new());
        let Sharing::Unknown(text) = sharing(&homes) else { panic!("not known") };
        assert!(text.contains("mud does not tell"), "{text}");
        read_until(&mut homes, &mud(2, Some(FIRST)), &Found::File(FIRST), 60_000..61_000);
        assert_eq!(homes.next(&[], 200_000), None);
        assert_eq!(sharing(&homes), Sharing::Shared);
        homes.keep(|_| false);
        assert!(homes.others().is_empty());
    }
}
