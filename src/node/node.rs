//! The node itself: built from its leaves upwards, handed requests through its router, stopped.

use std::{sync::Arc, time::Duration};

use axum::Router;
use belfry_api::{Api, Handles, edge::Edge, federation::Federation};
use belfry_data::{Database, Engine, Incarnation, OpenError};
use belfry_env::{Env, Stopped};
use belfry_flow::Flows;
use belfry_media::Media;
use belfry_room::Identity;
use belfry_sync::Views;
use belfry_user::Users;

use crate::{devices, duty, federation, options::NodeOptions, push, upkeep};

/// Why a node does not start. Nothing runs, and the engine may be closed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database is not this server's, or cannot be read or brought up to date.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Accounts cannot be served, for instance because of what passwords are to cost.
    #[error(transparent)]
    Users(#[from] belfry_user::Fault),
}

/// A running homeserver. Dropping it stops nothing: its tasks belong to its world, and
/// [`Node::stop`] ends them.
pub struct Node {
    env: Env,
    database: Database,
    api: Api,
}

impl Node {
    /// Opens the database, which becomes this server's if it is empty, and starts the server's
    /// periodic duties. The engine must be open, with the tables of [`belfry_data::keyspaces`].
    pub async fn start(
        engine: Arc<dyn Engine>,
        env: Env,
        options: NodeOptions,
    ) -> Result<Self, StartError> {
        let NodeOptions {
            signing_key,
            rules,
            users,
            blobs,
            media,
            edge,
            federation,
            push,
            web,
            about,
        } = options;
        let server_name = users.server_name.clone();
        let incarnation = Incarnation(env.random.bytes());
        let database = belfry_data::open(Arc::clone(&engine), &server_name, incarnation).await?;
        // First of all: what the crates above hand out expires by it.
        duty::resume_age(&env, &database)
            .await
            .map_err(OpenError::from)?;
        let rules = Arc::new(rules);
        let identity = Identity {
            server_name,
            key: signing_key,
        };
        let remote = federation::remote(&engine, &env, &rules, &identity, federation);
        let users = Users::new(Arc::clone(&engine), env.clone(), Arc::clone(&rules), users)?;
        users.load_partners().await?;
        let users = federation::users(&env, users, remote.as_ref());
        let views_name = identity.server_name.clone();
        let federation = federation::answering(&views_name, remote.as_ref());
        let ports = federation::media(&env, remote.as_ref(), web);
        let rooms = federation::rooms(&engine, &env, identity, remote.as_ref());
        let api = Api::from(Handles {
            flows: Flows::new(
                Arc::clone(&engine),
                env.clone(),
                rooms.clone(),
                users.clone(),
            ),
            users,
            views: Views::new(
                Arc::clone(&engine),
                env.clone(),
                views_name,
                database.incarnation().0,
            ),
            media: Media::with_ports(engine, blobs, &env, media, ports),
            rooms,
            edge: Edge::new(edge, env.clock.clone(), env.shutdown.clone()),
            rules,
            federation,
            about,
        });
        duty::start(&env, &database, &api.flows);
        api.flows.send_due(Arc::clone(&api.rules));
        federation::start(&api.rooms, remote.as_ref()).await;
        duty::keep_directories(&env, &api.views);
        push::start(&api.views, push);
        duty::sweep_media(&env, &api.media);
        duty::trim_copies(&env, &api.media);
        devices::keep_devices(&env, &database, &api.users, remote.is_some());
        upkeep::keep_rooms(&env, &database, &api.rooms);
        Ok(Self { env, database, api })
    }

    /// Everything that the server answers. Whoever serves it puts a [`belfry_api::edge::Peer`]
    /// into each request's extensions.
    pub fn router(&self) -> Router {
        belfry_api::router(self.api.clone())
    }

    /// Accounts, for whoever administers the server.
    pub fn users(&self) -> &Users {
        &self.api.users
    }

    /// Acts over several rooms or accounts, for whoever administers the server.
    pub fn flows(&self) -> &Flows {
        &self.api.flows
    }

    /// How it stands with other servers, for whoever runs the server.
    pub fn federation(&self) -> &Federation {
        &self.api.federation
    }

    /// The database, open and this server's.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Ends the server's tasks: nothing new is begun, what is under way has until `deadline`. The
    /// engine is still open then, and whoever opened it closes it.
    pub async fn stop(self, deadline: Duration) -> Stopped {
        let Self { env, database, api } = self;
        drop((api, database));
        env.stop(deadline).await
    }
}
