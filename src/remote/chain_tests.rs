//! Certificates of a server that has many ways to no authority.

use std::{sync::Arc, time::Duration};

use http::Uri;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    Limits,
    fixture::{World, answer},
};

const LIMITS: Limits = Limits {
    bytes_max: 1_000,
    time_max: Duration::from_secs(30),
    redirects_max: 0,
};

/// Certificates that each could be the issuer of each other, by their names: all have that of the
/// authority that is trusted. A leaf for this name first.
fn maze(name: &str, width: usize) -> Arc<ServerConfig> {
    let named = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test");
        params
    };
    let key = || KeyPair::generate().unwrap();
    let mut issuer = CertifiedIssuer::self_signed(named(), key()).unwrap();
    let mut chain: Vec<CertificateDer<'static>> = vec![issuer.der().clone()];
    for _ in 1..width {
        let next = CertifiedIssuer::signed_by(named(), key(), &issuer).unwrap();
        chain.insert(0, next.der().clone());
        issuer = next;
    }
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    let own = key();
    let leaf = params.signed_by(&own, &issuer).unwrap();
    chain.insert(0, leaf.der().clone());
    let secret = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .unwrap();
    Arc::new(config)
}

#[tokio::test(start_paused = true)]
async fn keys_015_a_maze_of_certificates_is_given_up() {
    let world = World::new();
    world.internet.name("evil.example", &["1.2.3.4"]);
    let url: Uri = "https://evil.example/".parse().unwrap();
    for (width, given_up) in [(2, false), (60, true)] {
        let tls = maze("evil.example", width);
        world
            .internet
            .serve("1.2.3.4:443", Some(tls), |_| answer(200, "x"));
        let fetched = world.fetcher(&[]).get(&url, LIMITS).await;
        let refused = fetched.unwrap_err().to_string();
        assert_eq!(refused.contains("Maximum"), given_up, "{width}: {refused}");
    }
    // A way that leads somewhere is found all the same.
    let tls = world.authority.certify("evil.example");
    world
        .internet
        .serve("1.2.3.4:443", Some(tls), |_| answer(200, "x"));
    world.fetcher(&[]).get(&url, LIMITS).await.unwrap();
}
