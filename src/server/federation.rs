//! The way to other servers, from what the configuration says.
//!
//! Exists so that the program's options for the network are read in one place. Knows nothing of
//! what is said on the way.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use belfry_env::Env;
use belfry_media::Web;
use belfry_remote::{
    AddressRules, Authorities, DialOptions, RemoteOptions, SenderOptions, internet,
};

use crate::{
    config::{Config, Switch},
    listen::tls::{Certificate, Files},
    message::Message,
};

/// What talks to other servers is told; `None` if nothing is to. Inside a runtime.
pub(crate) fn remote(config: &Config, env: &Env) -> Result<Option<RemoteOptions>, Message> {
    let federation = &config.federation;
    if federation.mode == Switch::Off {
        return Ok(None);
    }
    let dial = DialOptions {
        addresses: AddressRules {
            allowed: federation.allow_private_networks.clone(),
        },
        authorities: authorities(&federation.authority_files)?,
    };
    let network = internet(dial, env)
        .map_err(|error| Message::new("network-unusable").with("cause", error.to_string()))?;
    let former = federation.former_signing_keys.iter();
    let refused = federation.refused_keys.iter();
    Ok(Some(RemoteOptions {
        network,
        old_keys: former.map(|key| key.0.clone()).collect(),
        notaries: federation.notaries.clone(),
        refused_keys: refused.map(|key| key.0.clone()).collect(),
        senders: SenderOptions {
            retry_max: Duration::from_mins(federation.retry_max_minutes.get()),
        },
    }))
}

/// The way to pages of which previews are shown; `None` if none are. Inside a runtime.
pub(crate) fn web(config: &Config, env: &Env) -> Result<Option<Arc<dyn Web>>, Message> {
    let previews = &config.previews;
    if previews.mode == Switch::Off {
        return Ok(None);
    }
    let dial = DialOptions {
        addresses: AddressRules {
            allowed: previews.allow_private_networks.clone(),
        },
        authorities: authorities(&previews.authority_files)?,
    };
    let web = belfry_remote::web(dial, env);
    web.map(Some)
        .map_err(|error| Message::new("network-unusable").with("cause", error.to_string()))
}

/// The system's certificate authorities and those in these files.
pub(crate) fn authorities(files: &[PathBuf]) -> Result<Authorities, Message> {
    let mut authorities = Authorities {
        system: true,
        extra: Vec::new(),
    };
    for file in files {
        let refused = |cause: &dyn std::fmt::Display| {
            Message::new("authority-unusable")
                .with("file", file.as_path())
                .with("cause", cause.to_string())
        };
        let pem = fs::read(file).map_err(|error| refused(&error))?;
        authorities.add_pem(&pem).map_err(|error| refused(&error))?;
    }
    Ok(authorities)
}

/// The certificate of the HTTPS listeners, if there are any.
pub(crate) fn certificate(config: &Config) -> Result<Option<Certificate>, Message> {
    let listen = &config.listen;
    if listen.tls_addresses.is_empty() {
        return Ok(None);
    }
    match (&listen.tls_certificate_file, &listen.tls_key_file) {
        (Some(certificate), Some(key)) => Certificate::load(Files {
            certificate: certificate.clone(),
            key: key.clone(),
        })
        .map(Some),
        _ => Err(Message::new("tls-incomplete")),
    }
}
