//! TLS 1.3 for the links: whom each end accepts, and who the peer turned out
//! to be.
//!
//! A DTU pins the group's authority by its fingerprint. Servers and sessions
//! accept any client certificate, since a DTU is its key; a server that probes
//! a session shows its own certificate instead.

use crate::certificates::{Credentials, dtu_of, group_of, role_of};
use afterglow_wire::ids::{DtuId, Epoch, GroupId, ServerName as HostName, SessionId};
use afterglow_wire::trust::Role;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, version,
};
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The moment at which certificates are checked: any between their wide
/// bounds, because no clock is trusted for their validity.
const CHECKED_AT: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));

/// Which server or session a client accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accept {
    /// Any server of this group, or of any group if none is known yet; then
    /// nothing of a token may be told before the user has confirmed it.
    AnyServer {
        /// The group.
        group: Option<GroupId>,
    },
    /// This copy of this session, of this group.
    Session {
        /// The group.
        group: GroupId,
        /// The session.
        id: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A DTU.
    Dtu(DtuId),
    /// A server of the group.
    Server(HostName),
    /// A session of the group.
    Session(SessionId, Epoch),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS of the accepting end.
pub fn server_config(
    credentials: &Credentials,
    alpn: &[u8],
) -> Result<rustls::ServerConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(AnyKey { provider: provider.clone() });
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain.clone(), credentials.private_key())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// TLS of the opening end.
pub fn client_config(
    credentials: &Credentials,
    accept: Accept,
    alpn: &[u8],
) -> Result<rustls::ClientConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(Pinned { accept, provider: provider.clone() });
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(credentials.chain.clone(), credentials.private_key())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    // A ticket of TLS's own would let a peer in without its certificate.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn chain_of(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok().map(|chain| *chain)
}

/// Who opened this connection: a server or a session if the group's authority
/// says so, a DTU otherwise.
pub fn peer_of(connection: &quinn::Connection, group: GroupId) -> Option<Peer> {
    let chain = chain_of(connection)?;
    match signed_role(&chain, Some(group), KeyUsage::client_auth()) {
        Ok((_, Role::Server(name))) => Some(Peer::Server(name)),
        Ok((_, Role::Session { id, epoch })) => Some(Peer::Session(id, epoch)),
        Err(_) => dtu_of(chain.first()?).ok().map(Peer::Dtu),
    }
}

/// The group of the server that this connection was opened to, and its name.
pub fn server_of(connection: &quinn::Connection) -> Option<(GroupId, HostName)> {
    let chain = chain_of(connection)?;
    match signed_role(&chain, None, KeyUsage::server_auth()) {
        Ok((group, Role::Server(name))) => Some((group, name)),
        _ => None,
    }
}

/// Checks that the chain's last certificate is the group's authority and that
/// it signed the first, and gives the role that the first has.
fn signed_role(
    chain: &[CertificateDer<'_>],
    group: Option<GroupId>,
    usage: KeyUsage,
) -> Result<(GroupId, Role), Error> {
    let refuse = |why| Err(Error::InvalidCertificate(why));
    let [certificate, authority] = chain else {
        return refuse(CertificateError::UnknownIssuer);
    };
    let found = group_of(authority).map_err(|_| CertificateError::BadEncoding)?;
    if group.is_some_and(|group| group != found) {
        return refuse(CertificateError::UnknownIssuer);
    }
    let anchor = anchor_from_trusted_cert(authority).map_err(|_| CertificateError::BadEncoding)?;
    let parsed = EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
    parsed
        .verify_for_usage(
            &[webpki::aws_lc_rs::ED25519],
            &[anchor],
            &[],
            CHECKED_AT,
            usage,
            None,
            None,
        )
        .map_err(|_| CertificateError::BadSignature)?;
    match role_of(certificate) {
        Some(role) => Ok((found, role)),
        None => refuse(CertificateError::ApplicationVerificationFailure),
    }
}

/// Accepts the servers or the session that a client expects.
#[derive(Debug)]
struct Pinned {
    accept: Accept,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut chain = vec![end_entity.clone()];
        chain.extend_from_slice(intermediates);
        let group = match &self.accept {
            Accept::AnyServer { group } => *group,
            Accept::Session { group, .. } => Some(*group),
        };
        let (_, role) = signed_role(&chain, group, KeyUsage::server_auth())?;
        let accepted = match (&self.accept, role) {
            (Accept::AnyServer { .. }, Role::Server(_)) => true,
            (Accept::Session { id, epoch, .. }, Role::Session { id: i, epoch: e }) => {
                *id == i && *epoch == e
            }
            _ => false,
        };
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Accepts any client that has the key of its certificate.
#[derive(Debug)]
struct AnyKey {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        dtu_of(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
