//! Certificates for the servers and clients of one test, made when it begins.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The certificate that a server shows. All but that of the wrong host are for `localhost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Signed by the authority.
    Good,
    /// Signed by the authority for another host.
    WrongHost,
    /// Signed by the authority, and expired.
    Expired,
    /// Signed by nobody else.
    SelfSigned,
    /// Signed by another authority.
    OtherAuthority,
    /// Signed by the authority, with another key: the successor of the good one.
    Renewed,
}

impl Shown {
    /// All but the renewed one, which is as good as the first.
    pub const ALL: [Self; 5] = [
        Self::Good,
        Self::WrongHost,
        Self::Expired,
        Self::SelfSigned,
        Self::OtherAuthority,
    ];
}

/// The files of certificates and keys, all in one folder.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in a folder. A certificate of a client is for this name.
    pub fn make(folder: &Path, client: &str) -> Self {
        let made = Self {
            folder: folder.to_owned(),
        };
        let root = made.authority("root");
        let other = made.authority("other-root");
        for shown in Shown::ALL.into_iter().chain([Shown::Renewed]) {
            let host = match shown {
                Shown::WrongHost => "db.elsewhere",
                _ => "localhost",
            };
            let mut params =
                CertificateParams::new(vec![host.to_owned()]).expect("a name of a host");
            if shown == Shown::Expired {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }
            let issuer = match shown {
                Shown::SelfSigned => None,
                Shown::OtherAuthority => Some(&other),
                _ => Some(&root),
            };
            made.certify(&format!("{shown:?}"), params, issuer);
        }
        for (name, issuer) in [("client", &root), ("stranger", &other)] {
            made.certify(name, of_client(client), Some(issuer));
        }
        let rsa = KeyPair::from_pem(&rsa_key()).expect("a key");
        made.sign("client-rsa", of_client(client), &rsa, Some(&root));
        made
    }

    /// Puts a certificate and its key in the place of those named `shown`.
    pub fn show(&self, shown: Shown) {
        let name = format!("{shown:?}");
        for (from, to) in [
            (self.certificate(&name), self.certificate("shown")),
            (self.key(&name), self.key("shown")),
        ] {
            // The file that is there keeps its owner.
            let text = fs::read_to_string(from).expect("it was made");
            write(&to, &text);
        }
    }

    /// Returns the file of a certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// Returns the file of the key of a certificate.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("an authority");
        write(&self.certificate(name), &certificate.pem());
        Issuer::new(params, key)
    }

    fn certify(
        &self,
        name: &str,
        params: CertificateParams,
        issuer: Option<&Issuer<'static, KeyPair>>,
    ) {
        let key = KeyPair::generate().expect("a key can be made");
        self.sign(name, params, &key, issuer);
    }

    fn sign(
        &self,
        name: &str,
        params: CertificateParams,
        key: &KeyPair,
        issuer: Option<&Issuer<'static, KeyPair>>,
    ) {
        let certificate = match issuer {
            Some(issuer) => params.signed_by(key, issuer),
            None => params.self_signed(key),
        };
        let certificate = certificate.expect("a certificate can be signed");
        write(&self.certificate(name), &certificate.pem());
        write(&self.key(name), &key.serialize_pem());
    }
}

fn of_client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Returns a key of RSA in PEM. The cryptography of rcgen makes none.
fn rsa_key() -> String {
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .output()
        .expect("openssl is installed");
    String::from_utf8(made.stdout).expect("PEM is text")
}

/// Writes a file that only its owner can read: a server refuses another key.
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder can be written to");
    let owner = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, owner).expect("the file is ours");
}
