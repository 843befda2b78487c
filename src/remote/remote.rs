//! Everything that talks to other servers, as one value.
//!
//! Exists so that whoever builds a server wires the network in one place. Knows nothing of
//! configuration files.

use std::{fmt, sync::Arc};

use belfry_data::Engine;
use belfry_env::Env;
use belfry_event::{PublicKey, SigningKey};
use belfry_policy::Rules;
use ruma_common::OwnedServerName;

use crate::{
    client::Client,
    dialer::{DialOptions, Dialer},
    directory::SignedDirectory,
    discovery::Discovery,
    fetch::Fetcher,
    key_document::{OldKey, OwnKeys},
    keys::{KeyOptions, KeyStore},
    network::{Internet, Network},
    peers::SignedPeers,
    push::PushGateways,
    resolver::SystemResolver,
    sender::{SenderOptions, Senders},
    signer::Signer,
    socket::Tcp,
    trust::TrustError,
};

/// What is told to those who talk to other servers.
#[derive(Clone)]
pub struct RemoteOptions {
    /// The way to other servers.
    pub network: Arc<dyn Network>,
    /// Keys that this server signed with before.
    pub old_keys: Vec<OldKey>,
    /// Servers that are asked for the keys of those that do not answer.
    pub notaries: Vec<OwnedServerName>,
    /// Keys that never count, for their secret half is public.
    pub refused_keys: Vec<PublicKey>,
    /// Sending.
    pub senders: SenderOptions,
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("old_keys", &self.old_keys)
            .field("notaries", &self.notaries)
            .field("refused_keys", &self.refused_keys)
            .field("senders", &self.senders)
            .finish_non_exhaustive()
    }
}

/// The handles of all that talks to other servers. Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    /// The keys of others, and our own as others see them.
    pub keys: Arc<KeyStore>,
    /// Questions of rooms.
    pub peers: Arc<SignedPeers>,
    /// Looking things up.
    pub directory: Arc<SignedDirectory>,
    /// Any other question.
    pub client: Arc<Client>,
    /// Telling others.
    pub senders: Senders,
}

impl Remote {
    /// Everything, of this server; nothing is sent before [`Senders::start`].
    pub fn new(
        engine: &Arc<dyn Engine>,
        env: &Env,
        rules: Arc<Rules>,
        (server, key): (OwnedServerName, SigningKey),
        options: RemoteOptions,
    ) -> Self {
        let signer = Signer {
            server: server.clone(),
            key: key.clone(),
        };
        let network = options.network;
        let client = Client::new(Arc::clone(&network), signer, env.clock.clone(), rules);
        let client = Arc::new(client);
        let own = OwnKeys {
            server,
            current: key,
            old: options.old_keys,
        };
        let keys = KeyOptions {
            own,
            notaries: options.notaries,
            refused: options.refused_keys,
        };
        Self {
            keys: Arc::new(KeyStore::new(
                Arc::clone(engine),
                env.clone(),
                network,
                keys,
            )),
            peers: Arc::new(SignedPeers::new(Arc::clone(&client))),
            directory: Arc::new(SignedDirectory::new(Arc::clone(&client), env.clock.clone())),
            senders: Senders::new(
                Arc::clone(engine),
                env.clone(),
                Arc::clone(&client),
                options.senders,
            ),
            client,
        }
    }
}

/// Why the internet is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// No certificate could be checked.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system's settings of name servers cannot be read.
    #[error("the system's name servers are not known: {0}")]
    Resolver(#[from] crate::resolver::Unresolved),
}

/// Push gateways on the internet as the system has it. Inside a runtime.
pub fn push_gateways(options: DialOptions, env: &Env) -> Result<PushGateways, OfflineError> {
    Ok(PushGateways::new(fetcher(options, env)?))
}

pub(crate) fn fetcher(options: DialOptions, env: &Env) -> Result<Fetcher, OfflineError> {
    let resolver = Arc::new(SystemResolver::new()?);
    let dialer = Dialer::new(options, resolver, Arc::new(Tcp), env.clone())?;
    Ok(Fetcher::new(
        &Arc::new(dialer),
        &env.tasks,
        env.clock.clone(),
    ))
}

/// The internet as the system has it. Inside a runtime.
pub fn internet(options: DialOptions, env: &Env) -> Result<Arc<dyn Network>, OfflineError> {
    let fetcher = fetcher(options, env)?;
    let discovery = Discovery::new(fetcher.clone(), env.clock.clone());
    Ok(Internet::new(discovery, fetcher))
}
