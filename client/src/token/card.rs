//! Cards in real readers, by PC/SC.
//!
//! A thread of its own waits for readers and cards, since PC/SC blocks. It
//! survives readers that come and go and a pcscd that dies and comes back, and
//! says in words what is wrong. When it cannot tell any more whether the card
//! is there, the card counts as removed.

use super::Event;
use afterglow_wire::ids::{Token, TokenKind, hex};
use pcsc::{Card, Context, Disposition, Error, PNP_NOTIFICATION, Protocols, ReaderState, Scope};
use pcsc::{ShareMode, State};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long to wait for news at most; a cancel that comes just before a wait
/// is lost.
const WAIT: Duration = Duration::from_secs(1);
/// How long to wait until a pcscd that is not there is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// The most readers that are watched.
const READERS_MAX: usize = 32;

/// The PC/SC command "get data: UID" (PC/SC part 3, 3.2.2.1.3).
const GET_UID: [u8; 5] = [0xFF, 0xCA, 0x00, 0x00, 0x00];

/// A running card thread; ends when this is dropped.
pub struct CardWatch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    read_again: AtomicBool,
    /// The context that may be waiting, to be woken.
    waiting: Mutex<Option<Context>>,
}

impl Shared {
    fn wake(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = &*waiting {
            // Without it the thread looks when its wait ends.
            let _ = context.cancel();
        }
    }

    fn set_waiting(&self, context: Option<Context>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = context;
    }
}

impl CardWatch {
    /// Starts to watch all readers, or those whose name contains `reader`.
    pub fn start(reader: Option<String>, events: mpsc::Sender<Event>) -> Self {
        let shared = Arc::new(Shared::default());
        let for_thread = shared.clone();
        let watch =
            move || Watcher { wanted: reader, events, shared: for_thread, told: None }.run();
        if let Err(error) = std::thread::Builder::new().name("cards".into()).spawn(watch) {
            tracing::warn!("cannot watch for cards: {error}");
        }
        CardWatch { shared }
    }

    /// Reads the card again; the answer is an [`Event::ReadAgain`].
    pub fn read_again(&self) {
        self.shared.read_again.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

impl Drop for CardWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

/// What a look at a reader found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Card(Token),
    /// A card that cannot be used, in words.
    Unusable(String),
}

struct Watcher {
    wanted: Option<String>,
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
    /// The trouble that was told last; `None` before the first word.
    told: Option<Option<String>>,
}

/// The other end is gone: the DTU ends.
struct Gone;

impl Watcher {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            let outcome = match Context::establish(Scope::User) {
                Ok(context) => {
                    self.shared.set_waiting(Some(context.clone()));
                    let outcome = self.watch(&context);
                    self.shared.set_waiting(None);
                    outcome
                }
                Err(error) => Ok(error),
            };
            let Ok(error) = outcome else { return };
            if self.lost(error).is_err() {
                return;
            }
            std::thread::sleep(RETRY);
        }
    }

    fn tell(&self, event: Event) -> Result<(), Gone> {
        self.events.blocking_send(event).map_err(|_| Gone)
    }

    fn trouble(&mut self, trouble: Option<String>) -> Result<(), Gone> {
        if self.told.as_ref() == Some(&trouble) {
            return Ok(());
        }
        self.told = Some(trouble.clone());
        self.tell(Event::Trouble(trouble))
    }

    /// PC/SC itself failed: nobody can tell whether the card is still there.
    fn lost(&mut self, error: Error) -> Result<(), Gone> {
        self.tell(Event::Removed)?;
        if self.shared.read_again.swap(false, Ordering::SeqCst) {
            self.tell(Event::ReadAgain(None))?;
        }
        self.trouble(Some(service_in_words(error)))
    }

    /// Watches until PC/SC itself fails, and gives that failure.
    fn watch(&mut self, context: &Context) -> Result<Error, Gone> {
        let mut readers = vec![ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
        let mut current: Option<(CString, Token)> = None;
        loop {
            if self.shared.stop.load(Ordering::SeqCst) {
                return Err(Gone);
            }
            if let Err(error) = self.update_readers(context, &mut readers) {
                return Ok(error);
            }
            match context.get_status_change(WAIT, &mut readers) {
                Ok(()) | Err(Error::Timeout | Error::Cancelled | Error::UnknownReader) => {}
                Err(error) => return Ok(error),
            }
            let read_again = self.shared.read_again.swap(false, Ordering::SeqCst);
            let changed = readers.iter().any(|r| r.event_state().contains(State::CHANGED));
            if changed || read_again {
                self.look(context, &readers, &mut current, read_again)?;
            }
            if read_again {
                self.tell(Event::ReadAgain(current.as_ref().map(|(_, token)| token.clone())))?;
            }
            for reader in &mut readers {
                reader.sync_current_state();
            }
        }
    }

    /// Brings the list of readers up to date.
    fn update_readers(
        &self,
        context: &Context,
        readers: &mut Vec<ReaderState>,
    ) -> Result<(), Error> {
        readers.retain(|r| !r.event_state().intersects(State::UNKNOWN | State::IGNORE));
        if readers.is_empty() {
            readers.push(ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE));
        }
        let names = match context.list_readers_owned() {
            Ok(names) => names,
            Err(Error::NoReadersAvailable) => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_pnp = |r: &ReaderState| r.name() == PNP_NOTIFICATION();
        readers.retain(|r| is_pnp(r) || names.iter().any(|name| name.as_c_str() == r.name()));
        for name in names {
            let known = readers.iter().any(|r| r.name() == name.as_c_str());
            if !known && readers.len() <= READERS_MAX && self.is_wanted(&name) {
                readers.push(ReaderState::new(name, State::UNAWARE));
            }
        }
        Ok(())
    }

    fn is_wanted(&self, name: &CStr) -> bool {
        let name = name.to_string_lossy();
        self.wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()))
    }

    /// Finds out which card is in, and tells what changed.
    fn look(
        &mut self,
        context: &Context,
        readers: &[ReaderState],
        current: &mut Option<(CString, Token)>,
        read_again: bool,
    ) -> Result<(), Gone> {
        let with_card: Vec<&CStr> = readers
            .iter()
            .filter(|r| r.name() != PNP_NOTIFICATION())
            .filter(|r| r.event_state().contains(State::PRESENT))
            .filter(|r| !r.event_state().contains(State::MUTE))
            .map(|r| r.name())
            .collect();
        let changed = |name: &CStr| {
            readers.iter().any(|r| r.name() == name && r.event_state().contains(State::CHANGED))
        };
        if let Some((reader, token)) = current {
            let stays = with_card.contains(&reader.as_c_str());
            let again = read_again || changed(reader);
            let same = || read(context, reader) == Found::Card(token.clone());
            if stays && (!again || same()) {
                return Ok(());
            }
            *current = None;
            self.tell(Event::Removed)?;
        }
        let mut trouble = None;
        for reader in with_card {
            match read(context, reader) {
                Found::Card(token) => {
                    *current = Some((reader.to_owned(), token.clone()));
                    self.trouble(None)?;
                    return self.tell(Event::Inserted(token));
                }
                Found::Unusable(why) => trouble = Some(why),
                Found::Nothing => {}
            }
        }
        let mute = readers.iter().any(|r| r.event_state().contains(State::MUTE));
        if mute {
            trouble = trouble.or(Some("The card does not answer. Is it in the right way?".into()));
        }
        let only_pnp = readers.iter().all(|r| r.name() == PNP_NOTIFICATION());
        self.trouble(trouble.or_else(|| only_pnp.then(|| self.no_reader())))
    }

    fn no_reader(&self) -> String {
        match &self.wanted {
            Some(wanted) => format!("No card reader with \"{wanted}\" in its name is connected."),
            None => "No card reader is connected (or pn533_usb holds it: see lsmod).".into(),
        }
    }
}

/// Reads the card in this reader.
fn read(context: &Context, reader: &CStr) -> Found {
    // A card that was just put in may need a moment until it answers.
    for _ in 0..3 {
        match read_once(context, reader) {
            Ok(found) => return found,
            Err(Error::ResetCard | Error::NotTransacted | Error::CommError) => {}
            Err(Error::NoSmartcard | Error::RemovedCard | Error::UnknownReader) => {
                return Found::Nothing;
            }
            Err(error) => return Found::Unusable(card_in_words(error)),
        }
    }
    Found::Nothing
}

fn read_once(context: &Context, reader: &CStr) -> Result<Found, Error> {
    let card = context.connect(reader, ShareMode::Shared, Protocols::ANY)?;
    let answer = uid(&card);
    // The card is left as it was: others may be using it.
    let _ = card.disconnect(Disposition::LeaveCard);
    Ok(token_of(&answer?))
}

fn uid(card: &Card) -> Result<Vec<u8>, Error> {
    let mut buffer = [0; pcsc::MAX_BUFFER_SIZE];
    Ok(card.transmit(&GET_UID, &mut buffer)?.to_vec())
}

/// The token that a card's answer to [`GET_UID`] names.
fn token_of(answer: &[u8]) -> Found {
    let (uid, status) = match answer.split_last_chunk::<2>() {
        Some((uid, status)) => (uid, *status),
        None => return Found::Unusable(no_uid()),
    };
    if status != [0x90, 0x00] || uid.is_empty() || uid.len() > 32 {
        return Found::Unusable(no_uid());
    }
    // ISO/IEC 14443-3: a single-size UID that begins with 08 is drawn anew
    // each time that the card comes into the field.
    if uid.len() == 4 && uid[0] == 0x08 {
        return Found::Unusable(
            "This card shows another number each time (as phones and passports do), \
             so nobody can be told by it. Use another card."
                .into(),
        );
    }
    if uid.iter().all(|byte| *byte == 0) || uid.iter().all(|byte| *byte == 0xFF) {
        return Found::Unusable(no_uid());
    }
    match Token::new(TokenKind::Card, &hex(uid)) {
        Ok(token) => Found::Card(token),
        Err(_) => Found::Unusable(no_uid()),
    }
}

fn no_uid() -> String {
    "This card tells no number of its own, so nobody can be told by it. Use another card.".into()
}

/// What is wrong with PC/SC itself, and what to do.
fn service_in_words(error: Error) -> String {
    match error {
        Error::NoService | Error::ServiceStopped => {
            "The card service does not run. Start it: sudo systemctl start pcscd.socket".into()
        }
        // pcsclite says this when polkit refuses.
        Error::NoAccess | Error::SecurityViolation => {
            "The card service refuses access: polkit allows it only to users at this \
             machine's own screen."
                .into()
        }
        Error::CommError => "The card service stopped; waiting for it to come back.".into(),
        other => format!("The card service has trouble: {other}"),
    }
}

/// What is wrong with one card or reader, and what to do.
fn card_in_words(error: Error) -> String {
    match error {
        Error::SharingViolation => {
            "Another program holds the reader (GnuPG's scdaemon often does: \
             gpgconf --kill scdaemon)."
                .into()
        }
        Error::UnresponsiveCard | Error::UnpoweredCard => {
            "The card does not answer. Is it in the right way?".into()
        }
        Error::ProtoMismatch | Error::UnsupportedCard => {
            "This reader cannot talk to this card.".into()
        }
        other => format!("The card cannot be read: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(answer: &[u8]) -> Option<String> {
        match token_of(answer) {
            Found::Card(token) => Some(token.to_string()),
            Found::Nothing | Found::Unusable(_) => None,
        }
    }

    #[test]
    fn a_uid_becomes_a_token() {
        let seven = [0x04, 0xA2, 0x3B, 0x1C, 0x5D, 0x6E, 0x80, 0x90, 0x00];
        assert_eq!(card(&seven).as_deref(), Some("card.04a23b1c5d6e80"));
        assert_eq!(card(&[0x12, 0x34, 0x56, 0x78, 0x90, 0]).as_deref(), Some("card.12345678"));
        assert!(card(&[&[0x08; 7][..], &[0x90, 0]].concat()).is_some());
    }

    #[test]
    fn what_names_nobody_is_refused_in_words() {
        for answer in [
            &[][..],
            &[0x90],
            &[0x90, 0x00],
            &[0x6A, 0x81],
            &[1, 2, 3, 4, 0x63, 0x00],
            &[0; 6],
            &[0, 0, 0, 0, 0x90, 0x00],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x90, 0x00],
        ] {
            assert_eq!(token_of(answer), Found::Unusable(no_uid()), "{answer:?}");
        }
        let random = token_of(&[0x08, 0x12, 0x34, 0x56, 0x90, 0x00]);
        assert!(matches!(random, Found::Unusable(why) if why.contains("another number")));
        let long = [&[7; 33][..], &[0x90, 0]].concat();
        assert_eq!(token_of(&long), Found::Unusable(no_uid()));
    }

    #[test]
    fn trouble_is_told_by_name() {
        assert!(service_in_words(Error::NoService).contains("pcscd"));
        assert!(service_in_words(Error::SecurityViolation).contains("polkit"));
        assert!(card_in_words(Error::SharingViolation).contains("scdaemon"));
    }
}
