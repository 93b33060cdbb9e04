//! What the group key yields, and the names that certificates carry.
//!
//! The group key is the group's one secret. Everything else comes from it by
//! HKDF-SHA256 (RFC 5869), each under a label of its own: the HMAC key of
//! group messages, the seed of the certificate authority, the seed of the
//! ticket key, the key under which tokens are hashed in questions.

use crate::ids::{Epoch, ServerName, SessionId, Token};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// How many bytes a key has.
pub const KEY_BYTES: usize = 32;

/// Why a group key file's content is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a group key has 32 random bytes (64 while the key is being changed), this has {0}")]
pub struct GroupKeyError(pub usize);

/// The group's secret, and what comes from it.
pub struct GroupKey {
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl GroupKey {
    /// From the content of a key file: 32 bytes, after which 32 more may
    /// follow, the next key of a change that is under way.
    pub fn from_file_content(content: &[u8]) -> Result<Self, GroupKeyError> {
        if content.len() != KEY_BYTES && content.len() != 2 * KEY_BYTES {
            return Err(GroupKeyError(content.len()));
        }
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        secret.copy_from_slice(&content[..KEY_BYTES]);
        Ok(GroupKey { secret })
    }

    fn derive(&self, label: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(Some(b"afterglow group key 1"), &*self.secret)
            .expand(label.as_bytes(), &mut *key)
            .unwrap_or_else(|_| unreachable!("HKDF-SHA256 yields 32 bytes"));
        key
    }

    /// The key that signs group messages.
    pub fn message_key(&self) -> MessageKey {
        MessageKey(self.derive("group messages, HMAC-SHA1"))
    }

    /// The seed of the certificate authority's Ed25519 key.
    pub fn authority_seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.derive("certificate authority, Ed25519")
    }

    /// The key that signs tickets.
    pub fn ticket_signer(&self) -> TicketSigner {
        let seed = self.derive("tickets, Ed25519");
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .unwrap_or_else(|_| unreachable!("an Ed25519 seed is any 32 bytes"));
        TicketSigner { pair }
    }

    /// The keyed hash that stands for a token in a question to the group.
    pub fn token_hash(&self, token: &Token) -> [u8; 32] {
        let key = self.derive("token hashes, HMAC-SHA256");
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&*key)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(token.as_str().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey(…)")
    }
}

/// The HMAC-SHA1 key of group messages.
#[derive(Clone)]
pub struct MessageKey(Zeroizing<[u8; KEY_BYTES]>);

impl MessageKey {
    /// HMAC-SHA1 (RFC 2104) over these bytes.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 20] {
        self.mac(bytes).finalize().into_bytes().into()
    }

    /// True if the signature is right; compared in constant time.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.mac(bytes).verify_slice(signature).is_ok()
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<sha1::Sha1> {
        let mut mac = <Hmac<sha1::Sha1> as Mac>::new_from_slice(&*self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(bytes);
        mac
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey(…)")
    }
}

/// Signs tickets.
pub struct TicketSigner {
    pair: Ed25519KeyPair,
}

impl TicketSigner {
    /// The Ed25519 (RFC 8032) signature of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(bytes).as_ref());
        signature
    }

    /// The half of the key that checks tickets.
    pub fn verifier(&self) -> TicketVerifier {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(self.pair.public_key().as_ref());
        TicketVerifier(key)
    }
}

impl fmt::Debug for TicketSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSigner(…)")
    }
}

/// Checks tickets; holds no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketVerifier(pub [u8; KEY_BYTES]);

impl TicketVerifier {
    /// True if the signature is right.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }
}

/// The role that a certificate of the group's authority gives, as a URI in its
/// subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// `afterglow:server/NAME`: a server; good on control links, and to probe.
    Server(ServerName),
    /// `afterglow:session/ID/EPOCH`: a session; good on its display link.
    Session {
        /// The session.
        id: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
}

impl Role {
    /// The URI for the certificate.
    pub fn to_uri(&self) -> String {
        match self {
            Role::Server(name) => format!("afterglow:server/{name}"),
            Role::Session { id, epoch } => format!("afterglow:session/{id}/{epoch}"),
        }
    }

    /// The role in a certificate's URI, if it is one.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix("afterglow:")?;
        match rest.split_once('/')? {
            ("server", name) => Some(Role::Server(name.parse().ok()?)),
            ("session", rest) => {
                let (id, epoch) = rest.split_once('/')?;
                Some(Role::Session { id: id.parse().ok()?, epoch: Epoch(epoch.parse().ok()?) })
            }
            _ => None,
        }
    }
}
