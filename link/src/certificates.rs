//! Certificates: the group's authority, what it issues, and a DTU's own.
//!
//! Nothing here depends on a clock: what a certificate is good for is in its
//! name, and the links' tickets carry the times that matter.

use afterglow_wire::ids::{DtuId, GroupId};
use afterglow_wire::trust::{GroupKey, Role};
use aws_lc_rs::signature::Ed25519KeyPair;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use webpki::EndEntityCert;

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The key is not an Ed25519 key in PKCS #8 form.
    #[error("the key is not an Ed25519 key in PKCS #8 form")]
    Key,
    /// The certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Read,
}

/// A certificate chain and the key of its first certificate.
#[derive(Debug)]
pub struct Credentials {
    /// The certificate, then its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The certificate's key.
    pub key: PrivatePkcs8KeyDer<'static>,
}

impl Credentials {
    /// From a certificate, its key and its issuer's certificate, all DER.
    pub fn from_der(certificate: &[u8], key: &[u8], authority: &[u8]) -> Self {
        Credentials {
            chain: vec![certificate.to_vec().into(), authority.to_vec().into()],
            key: key.to_vec().into(),
        }
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

/// The group's certificate authority; whoever has the group key has it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// The authority that the group key yields.
    pub fn of_group(key: &GroupKey) -> Result<Self, CertificateError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*key.authority_seed())
            .map_err(|_| CertificateError::Key)?;
        let pkcs8 = pair.to_pkcs8().map_err(|_| CertificateError::Key)?;
        let key = key_pair(pkcs8.as_ref())?;
        let mut params = named("Afterglow group authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The group's fingerprint, by which DTUs know it.
    pub fn group_id(&self) -> Result<GroupId, CertificateError> {
        group_of(&self.certificate)
    }

    /// A fresh key and a certificate that gives it this role.
    pub fn issue(&self, role: &Role) -> Result<Credentials, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = named("Afterglow");
        let uri = role.to_uri().try_into()?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Credentials {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

/// A new Ed25519 key in PKCS #8 form: a DTU's identity.
pub fn generate_dtu_key() -> Result<Vec<u8>, CertificateError> {
    Ok(KeyPair::generate_for(&PKCS_ED25519)?.serialize_der())
}

/// The credentials of the DTU with this key: a certificate that it signed
/// itself, since only the key counts.
pub fn dtu_credentials(pkcs8: &[u8]) -> Result<(DtuId, Credentials), CertificateError> {
    let key = key_pair(pkcs8)?;
    let certificate = named("Afterglow DTU").self_signed(&key)?.der().clone();
    let id = dtu_of(&certificate)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((id, Credentials { chain: vec![certificate], key }))
}

/// The DTU that a certificate's key names.
pub fn dtu_of(certificate: &CertificateDer<'_>) -> Result<DtuId, CertificateError> {
    Ok(DtuId::of_public_key(&public_key(certificate)?))
}

/// The group that an authority's certificate's key names.
pub fn group_of(certificate: &CertificateDer<'_>) -> Result<GroupId, CertificateError> {
    Ok(GroupId::of_public_key(&public_key(certificate)?))
}

/// The role that a certificate gives, if it is one of ours. Says nothing
/// about who signed it.
pub fn role_of(certificate: &CertificateDer<'_>) -> Option<Role> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_uri_names().find_map(Role::from_uri)
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, CertificateError> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| CertificateError::Read)?;
    Ok(certificate.subject_public_key_info().to_vec())
}

fn key_pair(pkcs8: &[u8]) -> Result<KeyPair, CertificateError> {
    let der = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(|_| CertificateError::Key)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
