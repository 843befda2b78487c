//! Other servers wired in: ports of rooms and of the API, implemented by the crate with the
//! network.

use std::sync::Arc;

use belfry_api::federation::{Destination, Federation, Gateway};
use belfry_data::Engine;
use belfry_env::Env;
use belfry_media::{Origin, Ports, Web};
use belfry_policy::Rules;
use belfry_remote::{Remote, RemoteOptions, SignedOrigin, SignedUserKeys};
use belfry_room::{Identity, Rooms};
use belfry_user::Users;
use futures_util::future::BoxFuture;
use ruma_common::{OwnedServerName, RoomId, ServerName, UserId};

/// All that talks to others, if anything is to.
pub(crate) fn remote(
    engine: &Arc<dyn Engine>,
    env: &Env,
    rules: &Arc<Rules>,
    identity: &Identity,
    options: Option<RemoteOptions>,
) -> Option<Remote> {
    let who = (identity.server_name.clone(), identity.key.clone());
    Some(Remote::new(engine, env, Arc::clone(rules), who, options?))
}

/// What others are answered by.
pub(crate) fn answering(server: &ServerName, remote: Option<&Remote>) -> Federation {
    let server = server.to_owned();
    match remote {
        None => Federation::off(server),
        Some(remote) => {
            let keys = Arc::clone(&remote.keys);
            let directory = Arc::clone(&remote.directory);
            let answering = Federation::on(server, keys, Arc::new(Wired(remote.clone())));
            answering.looking_up(directory)
        }
    }
}

/// Rooms, which others take part in if there is a way to them.
pub(crate) fn rooms(
    engine: &Arc<dyn Engine>,
    env: &Env,
    identity: Identity,
    remote: Option<&Remote>,
) -> Rooms {
    let (engine, env) = (Arc::clone(engine), env.clone());
    match remote {
        None => Rooms::new(engine, env, identity),
        Some(remote) => {
            let (peers, keys) = (Arc::clone(&remote.peers), Arc::clone(&remote.keys));
            Rooms::federated(engine, env, identity, peers, keys)
        }
    }
}

/// Accounts, which ask others for the keys of their users if there is a way to them.
pub(crate) fn users(env: &Env, users: Users, remote: Option<&Remote>) -> Users {
    let Some(remote) = remote else { return users };
    let keys = SignedUserKeys::new(Arc::clone(&remote.client), env.clock.clone());
    users.with_remote_keys(Arc::new(keys))
}

/// The way of files to others, as far as there is one.
pub(crate) fn media(env: &Env, remote: Option<&Remote>, web: Option<Arc<dyn Web>>) -> Ports {
    let origin = remote.map(|remote| {
        let client = Arc::clone(&remote.client);
        Arc::new(SignedOrigin::new(client, env.clock.clone())) as Arc<dyn Origin>
    });
    Ports { origin, web }
}

/// Takes up what was received, and what was to be told, when the server stopped.
pub(crate) async fn start(rooms: &Rooms, remote: Option<&Remote>) {
    let Some(remote) = remote else { return };
    remote.senders.start();
    if let Err(error) = rooms.resume().await {
        tracing::warn!(%error, "events that were received are taken up later");
    }
}

struct Wired(Remote);

impl Gateway for Wired {
    fn heard_of(&self, server: &ServerName) {
        self.0.senders.heard_of(server);
    }

    fn destinations(&self) -> Vec<(OwnedServerName, Destination)> {
        let standings = self.0.senders.standings().into_iter();
        let told = standings.map(|(server, standing)| {
            let told = Destination {
                queued: standing.queued,
                passing: standing.passing,
                catching_up: standing.catching_up,
                failures: standing.failures,
                retry_in_ms: standing.retry_in_ms,
                last_heard_ts: standing.heard_ms,
            };
            (server, told)
        });
        told.collect()
    }

    fn tell_room(&self, room: &RoomId, key: String, edu: String) {
        self.0.senders.tell_room(room.to_owned(), key, edu);
    }

    fn tell_neighbours(&self, user: &UserId, key: String, edu: String) {
        self.0.senders.tell_neighbours(user.to_owned(), key, edu);
    }

    fn own(&self) -> Option<String> {
        self.0.keys.own_document().ok()
    }

    fn notarise(&self, wanted: Vec<(OwnedServerName, u64)>) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.0.keys.notarise(wanted))
    }
}
