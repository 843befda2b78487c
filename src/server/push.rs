//! The way to push gateways, from what the configuration says.
//!
//! Exists because gateways are other machines than homeservers: some administrations run their own,
//! others may tell nobody outside that somebody got a message. Knows nothing of what is pushed.

use belfry_env::Env;
use belfry_remote::{AddressRules, DialOptions, PushGateways, push_gateways};

use crate::{
    config::{Config, Switch},
    federation,
    message::Message,
};

/// The way to gateways; `None` if nothing is to be pushed. Inside a runtime.
pub(crate) fn gateways(config: &Config, env: &Env) -> Result<Option<PushGateways>, Message> {
    let push = &config.push;
    if push.mode == Switch::Off {
        return Ok(None);
    }
    let dial = DialOptions {
        addresses: AddressRules {
            allowed: push.allow_private_networks.clone(),
        },
        authorities: federation::authorities(&push.authority_files)?,
    };
    match push_gateways(dial, env) {
        Ok(gateways) => Ok(Some(gateways)),
        Err(error) => {
            // A machine without a network still serves the clients beside it.
            tracing::warn!(%error, "nothing is pushed; install ca-certificates, or set push.mode");
            Ok(None)
        }
    }
}
