//! A card in software (`--token soft:NAME`): no reader, a hot key puts it in
//! and takes it out. It starts inserted.

use afterglow_wire::ids::Token;

/// The card and whether it is in.
#[derive(Debug)]
pub struct SoftCard {
    token: Token,
    inserted: bool,
}

impl SoftCard {
    /// A card that is in.
    pub fn inserted(token: Token) -> Self {
        SoftCard { token, inserted: true }
    }

    /// Puts it in, or takes it out.
    pub fn toggle(&mut self) {
        self.inserted = !self.inserted;
    }

    /// Its token, if it is in.
    pub fn token(&self) -> Option<Token> {
        self.inserted.then(|| self.token.clone())
    }
}
