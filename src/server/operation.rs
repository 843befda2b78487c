//! What can be asked of a server over its control socket, and what it answers.
//!
//! To add a request: a variant of [`Request`] (or of [`DbRequest`] or [`AccountRequest`], if it needs
//! the database alone and so works while the server is stopped), a variant of [`Answer`], an arm in `perform`, a
//! command in `args.rs` and the words for its answer in `show.rs`.

use std::{path::PathBuf, sync::Arc};

use belfry_api::federation::Federation;
use belfry_env::{Env, Moment};
use serde::{Deserialize, Serialize};

use belfry_flow::Flows;
use belfry_node::Node;
use belfry_user::Users;

use crate::{
    accounts::{self, AccountAnswer, AccountRequest},
    database::Database,
    destinations::{self, DestinationRequest, Standing},
    message::Message,
    metrics,
    notices::{self, NoticeRequest, Noticed},
};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// How the server does.
    Status,
    /// End.
    Stop,
    /// Something of the database.
    Db(DbRequest),
    /// Something of accounts.
    Account(AccountRequest),
    /// Tell a user something in the server's name.
    Notice(NoticeRequest),
    /// How it stands with other servers.
    Destinations(DestinationRequest),
}

/// What is asked of the database, by the running server or by a command that has opened it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DbRequest {
    /// Look for damage.
    Check,
    /// Count.
    Stats,
    /// Copy into a folder that does not exist yet; an absolute path.
    Backup { folder: PathBuf },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Status(Status),
    Stopping,
    Check(Check),
    Stats(Stats),
    Backup(Backup),
    /// Where the database is now.
    Restored(PathBuf),
    Account(AccountAnswer),
    Notice(Noticed),
    /// Those that do not answer first.
    Destinations(Vec<Standing>),
    /// This server is tried again.
    DestinationReset(String),
}

/// How the server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) server_name: String,
    pub(crate) pid: u32,
    pub(crate) uptime_s: u64,
    /// The signing key's name.
    pub(crate) signing_key: String,
    /// The addresses on which HTTP is spoken.
    pub(crate) listening: Vec<String>,
    /// The addresses on which monitoring is answered.
    pub(crate) metrics: Vec<String>,
    /// Tasks that run now.
    pub(crate) tasks: usize,
    /// Tasks that have panicked since the start.
    pub(crate) panics: u64,
}

/// What was found by reading all of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// Rows read; each one's checksum was compared.
    pub(crate) rows: u64,
    /// Their keys and values, uncompressed.
    pub(crate) bytes: u64,
    /// What is wrong; empty if nothing is.
    pub(crate) findings: Vec<Message>,
}

/// How much of what is in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) tables: Vec<TableSize>,
    /// Rooms that this server knows.
    pub(crate) rooms: u64,
    /// The rooms with the largest state, the largest first.
    pub(crate) largest_rooms: Vec<RoomSize>,
    /// What tables take on disk.
    pub(crate) disk_bytes: u64,
    /// What the journal takes on disk.
    pub(crate) journal_bytes: u64,
    /// Free space on the disk, if the system tells.
    pub(crate) free_disk_bytes: Option<u64>,
    /// Memory of the block cache in use.
    pub(crate) cache_bytes: u64,
    /// Memory of the write buffers in use.
    pub(crate) write_buffer_bytes: u64,
    /// Commits since the database was opened, those refused by a check, and those that wait.
    pub(crate) commits: u64,
    pub(crate) conflicts: u64,
    pub(crate) commits_waiting: u64,
    /// Failed background work since the database was opened.
    pub(crate) background_errors: u64,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableSize {
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Keys and values, uncompressed.
    pub(crate) bytes: u64,
    /// About what it takes in table files; rows that are in the journal only are not in it.
    pub(crate) disk_bytes: u64,
}

/// One room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoomSize {
    pub(crate) room_id: String,
    /// Entries of its current state.
    pub(crate) state_entries: usize,
    /// Joined members, if they are counted.
    pub(crate) joined: Option<u32>,
    pub(crate) extremities: usize,
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backup {
    /// Where it is.
    pub(crate) folder: PathBuf,
}

/// What does not change while a server runs.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) server_name: String,
    pub(crate) signing_key: String,
    pub(crate) listening: Vec<String>,
    pub(crate) metrics: Vec<String>,
}

/// What the running server answers from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Operations {
    env: Env,
    database: Arc<Database>,
    users: Users,
    flows: Flows,
    federation: Federation,
    facts: Arc<Facts>,
    started: Moment,
}

impl Operations {
    /// Counts the uptime from now.
    pub(crate) fn new(env: Env, database: Arc<Database>, node: &Node, facts: Facts) -> Self {
        Self {
            started: env.clock.now(),
            env,
            database,
            users: node.users().clone(),
            flows: node.flows().clone(),
            federation: node.federation().clone(),
            facts: Arc::new(facts),
        }
    }

    /// Does what is asked.
    pub(crate) async fn perform(self, request: Request) -> Result<Answer, Message> {
        match request {
            Request::Status => Ok(Answer::Status(self.status())),
            Request::Stop => {
                self.env.shutdown.begin();
                Ok(Answer::Stopping)
            }
            Request::Db(request) => self.database.perform(request).await,
            Request::Account(request) => {
                let done = accounts::perform(&self.users, &self.env.random, request);
                done.await.map(Answer::Account)
            }
            Request::Notice(request) => {
                let done = notices::perform(&self.users, &self.flows, request);
                done.await.map(Answer::Notice)
            }
            Request::Destinations(request) => {
                let now_ms = self.env.clock.wall_ms();
                destinations::perform(&self.federation, now_ms, request)
            }
        }
    }

    /// What monitoring is told.
    pub(crate) fn metrics(&self) -> String {
        let standings = destinations::standings(&self.federation, self.env.clock.wall_ms());
        metrics::text(&self.status(), standings.as_deref())
    }

    fn status(&self) -> Status {
        let env = &self.env;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_name: self.facts.server_name.clone(),
            pid: std::process::id(),
            uptime_s: env.clock.now().since(self.started).as_secs(),
            signing_key: self.facts.signing_key.clone(),
            listening: self.facts.listening.clone(),
            metrics: self.facts.metrics.clone(),
            tasks: env.tasks.running().len(),
            panics: env.tasks.panics(),
        }
    }
}
