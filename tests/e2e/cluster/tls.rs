//! Encrypted connections, and certificates by which the processes of a cluster know each other.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::cluster::support::{Server, wait_until};
use crate::support::{CAPTIONS, Tamis};

/// An authority and what it has signed, in a folder.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    certificate: String,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        let certificate = folder.join(format!("{name}.pem"));
        std::fs::write(&certificate, own.pem()).expect("a file");
        let certificate = certificate.display().to_string();
        Self { issuer: Issuer::new(params, key), folder: folder.into(), certificate }
    }

    /// The files of a certificate for this machine, and of its key.
    fn sign(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |kind: &str| self.folder.join(format!("{name}.{kind}")).display().to_string();
        std::fs::write(path("crt"), signed.pem()).expect("a file");
        std::fs::write(path("key"), key.serialize_pem()).expect("a file");
        (path("crt"), path("key"))
    }
}

fn with_tls<'a>(args: &[&'a str], certificate: &'a (String, String), authority: &'a str) -> Vec<&'a str> {
    let tls = ["--tls-certificate", &certificate.0, "--tls-key", &certificate.1, "--tls-authority", authority];
    args.iter().copied().chain(tls).collect()
}

#[test]
fn members_show_certificates_and_clients_trust_the_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    let (first, second, stranger) = (ours.sign("scheduler"), ours.sign("executor"), theirs.sign("stranger"));
    let args = with_tls(&["scheduler", "--bind", "127.0.0.1:0"], &first, &ours.certificate);
    let mut scheduler = Server::start(folder.path(), "scheduler", &args);
    let url = scheduler.address();
    assert!(url.starts_with("https://"), "{url}");

    // One that another authority has signed for, and one that shows nothing, are left outside.
    let args = with_tls(&["executor", "--scheduler", &url], &stranger, &ours.certificate);
    let foreign = Server::start(folder.path(), "foreign", &args);
    let args = ["executor", "--scheduler", &url, "--tls-authority", &ours.certificate];
    let bare = Server::start(folder.path(), "bare", &args);
    let args = with_tls(&["executor", "--scheduler", &url], &second, &ours.certificate);
    let executor = Server::start(folder.path(), "executor", &args);
    wait_until("the executor joins", || scheduler.log().matches(" joins").count() == 1);
    wait_until("the others are refused", || {
        scheduler.log().contains("TLS handshake failed") && scheduler.log().contains("only processes of the cluster")
    });

    // Its results come over TLS too, by way of the scheduler.
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{CAPTIONS}' WHERE width > 500 ORDER BY uid");
    let remote = |authority: &str| Tamis::sql(["--remote", &url, "--tls-authority", authority], &query).run();
    let answer = remote(&ours.certificate);
    assert_eq!(answer.code, Some(0), "{}\n{}\n{}", answer.stderr, scheduler.log(), executor.log());
    assert!(answer.stdout.lines().count() > 3, "{}", answer.stdout);
    let untrusting = remote(&theirs.certificate);
    assert_eq!(untrusting.code, Some(1), "{untrusting:?}");
    let plain = Tamis::sql(["--remote", &url.replace("https", "http")], &query).run();
    assert_eq!(plain.code, Some(1), "{plain:?}");
    assert_eq!(scheduler.log().matches(" joins").count(), 1, "{}", scheduler.log());
    drop((foreign, bare));
}
