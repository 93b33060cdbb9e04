//! Where tokens come from: cards, soft cards, the DTU itself.
//!
//! A [`Source`] decides which token is in; [`card`] is the thread that watches
//! real readers for it.

pub mod card;
pub mod pseudo;
pub mod soft;

use afterglow_wire::ids::{DtuId, InvalidName, Token};
use pseudo::PseudoCard;
use soft::SoftCard;
use std::str::FromStr;

/// Which source the user chose (`--token`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Real cards, and the DTU's own token if the user asks for it.
    Card,
    /// The DTU's own token.
    Pseudo,
    /// A card in software, with this id.
    Soft(Token),
}

impl FromStr for Choice {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text {
            "card" => Ok(Choice::Card),
            "pseudo" => Ok(Choice::Pseudo),
            _ => {
                let id = text.strip_prefix("soft:").unwrap_or("");
                Ok(Choice::Soft(Token::new(afterglow_wire::ids::TokenKind::Soft, id)?))
            }
        }
    }
}

/// What a token source tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A token came.
    Inserted(Token),
    /// The token went.
    Removed,
    /// What is wrong with the reader, in words; `None` if all is well.
    Trouble(Option<String>),
    /// The answer to [`Source::read_again`]: what is in now.
    ReadAgain(Option<Token>),
}

/// Decides which token is in.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    own: PseudoCard,
    /// The token that was told last.
    told: Option<Token>,
}

#[derive(Debug)]
enum Kind {
    Card { in_reader: Option<Token> },
    Own,
    Soft(SoftCard),
}

impl Source {
    /// The chosen source of the DTU with this key, and its first events.
    pub fn new(choice: Choice, dtu: DtuId) -> (Self, Vec<Event>) {
        let mut own = PseudoCard::new(dtu);
        let kind = match choice {
            Choice::Card => Kind::Card { in_reader: None },
            Choice::Pseudo => {
                own.insert();
                Kind::Own
            }
            Choice::Soft(token) => Kind::Soft(SoftCard::inserted(token)),
        };
        let mut source = Source { kind, own, told: None };
        let events = source.news();
        (source, events)
    }

    /// True if the thread of [`card`] has to run.
    pub fn needs_reader(&self) -> bool {
        matches!(self.kind, Kind::Card { .. })
    }

    /// The token that is in. A card in a reader comes before the DTU's own.
    fn present(&self) -> Option<Token> {
        match &self.kind {
            Kind::Card { in_reader } => in_reader.clone().or_else(|| self.own.token()),
            Kind::Own => self.own.token(),
            Kind::Soft(soft) => soft.token(),
        }
    }

    /// What changed since the last call.
    fn news(&mut self) -> Vec<Event> {
        let present = self.present();
        if present == self.told {
            return Vec::new();
        }
        let mut events = Vec::new();
        if self.told.is_some() {
            events.push(Event::Removed);
        }
        events.extend(present.clone().map(Event::Inserted));
        self.told = present;
        events
    }

    /// The reader's thread tells something.
    pub fn reader_says(&mut self, event: Event) -> Vec<Event> {
        let Kind::Card { in_reader } = &mut self.kind else { return Vec::new() };
        match event {
            Event::Inserted(token) => {
                // A card ends the use of the DTU's own token for good: taking
                // it out must blank the screen.
                self.own.remove();
                *in_reader = Some(token);
            }
            Event::Removed => *in_reader = None,
            Event::Trouble(_) | Event::ReadAgain(_) => return vec![event],
        }
        self.news()
    }

    /// The hot key: inserts or removes what has no reader.
    pub fn toggle(&mut self) -> Vec<Event> {
        match &mut self.kind {
            Kind::Card { .. } => self.own.remove(),
            Kind::Own => self.own.toggle(),
            Kind::Soft(soft) => soft.toggle(),
        }
        self.news()
    }

    /// The user wants the DTU's own token.
    pub fn use_pseudo(&mut self) -> Vec<Event> {
        if !matches!(self.kind, Kind::Soft(_)) {
            self.own.insert();
        }
        self.news()
    }

    /// Reads the token again. `None` if only the reader's thread can tell;
    /// its answer then comes as [`Event::ReadAgain`].
    pub fn read_again(&self) -> Option<Event> {
        match &self.kind {
            Kind::Card { in_reader: Some(_) } => None,
            _ => Some(Event::ReadAgain(self.present())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::ids::TokenKind;

    const DTU: DtuId = DtuId([1; 32]);

    fn card(id: &str) -> Token {
        Token::new(TokenKind::Card, id).unwrap()
    }

    #[test]
    fn choices_parse() {
        assert_eq!("card".parse::<Choice>().unwrap(), Choice::Card);
        assert_eq!("pseudo".parse::<Choice>().unwrap(), Choice::Pseudo);
        let soft = Token::new(TokenKind::Soft, "anna").unwrap();
        assert_eq!("soft:anna".parse::<Choice>().unwrap(), Choice::Soft(soft));
        for wrong in ["", "soft", "soft:", "soft:a b", "usb"] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_soft_card_starts_inserted_and_toggles() {
        let token = Token::new(TokenKind::Soft, "anna").unwrap();
        let (mut source, first) = Source::new(Choice::Soft(token.clone()), DTU);
        assert_eq!(first, [Event::Inserted(token.clone())]);
        assert_eq!(source.read_again(), Some(Event::ReadAgain(Some(token.clone()))));
        assert_eq!(source.toggle(), [Event::Removed]);
        assert_eq!(source.read_again(), Some(Event::ReadAgain(None)));
        assert_eq!(source.toggle(), [Event::Inserted(token)]);
        assert_eq!(source.use_pseudo(), []);
    }

    #[test]
    fn the_own_token_is_the_keys() {
        let (mut source, first) = Source::new(Choice::Pseudo, DTU);
        assert_eq!(first, [Event::Inserted(Token::pseudo(DTU))]);
        assert_eq!(source.toggle(), [Event::Removed]);
    }

    #[test]
    fn a_card_replaces_the_own_token_and_its_removal_leaves_none() {
        let (mut source, first) = Source::new(Choice::Card, DTU);
        assert_eq!(first, []);
        assert_eq!(source.use_pseudo(), [Event::Inserted(Token::pseudo(DTU))]);
        assert_eq!(
            source.reader_says(Event::Inserted(card("aa"))),
            [Event::Removed, Event::Inserted(card("aa"))]
        );
        assert_eq!(source.reader_says(Event::Inserted(card("aa"))), []);
        assert_eq!(source.read_again(), None);
        assert_eq!(source.reader_says(Event::Removed), [Event::Removed]);
        assert_eq!(source.reader_says(Event::Removed), []);
    }

    #[test]
    fn another_card_is_a_remove_and_an_insert() {
        let (mut source, _) = Source::new(Choice::Card, DTU);
        source.reader_says(Event::Inserted(card("aa")));
        assert_eq!(
            source.reader_says(Event::Inserted(card("bb"))),
            [Event::Removed, Event::Inserted(card("bb"))]
        );
    }

    #[test]
    fn the_hot_key_ends_the_use_of_the_own_token_and_leaves_cards_alone() {
        let (mut source, _) = Source::new(Choice::Card, DTU);
        source.use_pseudo();
        assert_eq!(source.toggle(), [Event::Removed]);
        source.reader_says(Event::Inserted(card("aa")));
        assert_eq!(source.toggle(), []);
    }
}
