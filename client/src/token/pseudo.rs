//! The DTU's own token, derived from its key: for who has no card. It belongs
//! to whoever sits at this DTU, and starts removed.

use afterglow_wire::ids::{DtuId, Token};

/// The DTU's own token and whether it is in.
#[derive(Debug)]
pub struct PseudoCard {
    token: Token,
    inserted: bool,
}

impl PseudoCard {
    /// Of the DTU with this key.
    pub fn new(dtu: DtuId) -> Self {
        PseudoCard { token: Token::pseudo(dtu), inserted: false }
    }

    /// Puts it in.
    pub fn insert(&mut self) {
        self.inserted = true;
    }

    /// Takes it out.
    pub fn remove(&mut self) {
        self.inserted = false;
    }

    /// Puts it in, or takes it out.
    pub fn toggle(&mut self) {
        self.inserted = !self.inserted;
    }

    /// The token, if it is in.
    pub fn token(&self) -> Option<Token> {
        self.inserted.then(|| self.token.clone())
    }
}
