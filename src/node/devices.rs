//! What a server does for devices by itself: signs out those that nobody uses, forgets messages that
//! waited too long for one, shortens the logs that their lists follow from.
//!
//! It exists so that neither sessions, messages nor logs are kept for ever. What it does is in the database
//! step by step, and done again if a crash takes it back. It knows nothing of what the logs are
//! read for, but for who must have read them.

use std::time::Duration;

use belfry_data::{
    Commit, CommitError, Database, ReadError, STAMP_FIRST, STAMP_LAST, Stamp,
    account::{PROFILE_ENTRIES_KEPT, profile_log_cut, trim_profile_log},
    cursor,
    keys::{
        DEVICE_LIST_ENTRIES_KEPT, MEMBER_ENTRIES_KEPT, TRIM_ROOMS_MAX, device_list_cut,
        trim_device_list_log, trim_member_logs,
    },
    rooms,
};
use belfry_env::Env;
use belfry_user::{Fault, Users};
use ruma_common::OwnedRoomId;

/// How often idle devices are looked for, and the logs shortened.
pub const DEVICES_INTERVAL: Duration = Duration::from_hours(1);

/// Whoever reads the logs besides clients' requests: what it has not read stays.
const READER: &str = "federation router";

/// Why the logs were not shortened this time.
#[derive(Debug, thiserror::Error)]
enum Untrimmed {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Looks after devices until the server stops. With `read_elsewhere`, other servers are told of
/// devices, by a reader who may lag.
pub(crate) fn keep_devices(env: &Env, database: &Database, users: &Users, read_elsewhere: bool) {
    let (own, database, users) = (env.clone(), database.clone(), users.clone());
    env.tasks.spawn("devices", async move {
        loop {
            let pause = own.clock.sleep(DEVICES_INTERVAL);
            if own.shutdown.unless(pause).await.is_none() {
                return;
            }
            match own.shutdown.unless(drop_idle(&users)).await {
                Some(Ok(dropped)) => tracing::debug!(dropped, "idle devices were signed out"),
                Some(Err(error)) => {
                    tracing::warn!(%error, "idle devices were not signed out; the next round tries again");
                }
                None => return,
            }
            match own.shutdown.unless(drop_old(&users)).await {
                Some(Ok(dropped)) => tracing::debug!(dropped, "old messages to devices went"),
                Some(Err(error)) => {
                    tracing::warn!(%error, "old messages stay; the next round tries again");
                }
                None => return,
            }
            match own.shutdown.unless(trim(&database, read_elsewhere)).await {
                Some(Ok(gone)) => tracing::debug!(gone, "logs of devices, profiles and members were shortened"),
                Some(Err(error)) => {
                    tracing::warn!(%error, "logs were not shortened; the next round tries again");
                }
                None => return,
            }
        }
    });
}

/// One round over all devices; how many were signed out.
async fn drop_idle(users: &Users) -> Result<usize, Fault> {
    let (mut dropped, mut after) = (0, None);
    loop {
        let step = users.drop_idle_devices(after.as_ref()).await?;
        dropped += step.dropped;
        after = step.next;
        if after.is_none() {
            return Ok(dropped);
        }
        tokio::task::yield_now().await;
    }
}

/// One round over all inboxes; how many messages went.
async fn drop_old(users: &Users) -> Result<usize, Fault> {
    let (mut dropped, mut after) = (0, None);
    loop {
        let step = users.drop_old_messages(after.as_ref()).await?;
        dropped += step.dropped;
        after = step.next;
        if after.is_none() {
            return Ok(dropped);
        }
        tokio::task::yield_now().await;
    }
}

/// One round over the logs; how many entries went.
async fn trim(database: &Database, read_elsewhere: bool) -> Result<usize, Untrimmed> {
    let until = read_until(database, read_elsewhere).await?;
    let lists = trim_device_lists(database, until).await?;
    let profiles = trim_profiles(database).await?;
    Ok(lists + profiles + trim_members(database, until).await?)
}

/// Up to where everybody has read who reads on behalf of other servers.
async fn read_until(database: &Database, read_elsewhere: bool) -> Result<Stamp, ReadError> {
    if !read_elsewhere {
        return Ok(STAMP_LAST);
    }
    let row = cursor(&*database.snapshot().await?, READER).await?;
    // Who has not begun has read nothing.
    Ok(row.map_or(STAMP_FIRST, |row| row.stamp))
}

async fn trim_device_lists(database: &Database, until: Stamp) -> Result<usize, Untrimmed> {
    let snapshot = database.snapshot().await?;
    let cut = device_list_cut(&*snapshot, DEVICE_LIST_ENTRIES_KEPT).await?;
    let Some(cut) = cut.map(|cut| cut.min(until)) else {
        return Ok(0);
    };
    in_steps(database, Log::DeviceLists, cut).await
}

/// Only clients read it: nobody has to have read it before.
async fn trim_profiles(database: &Database) -> Result<usize, Untrimmed> {
    let snapshot = database.snapshot().await?;
    let Some(cut) = profile_log_cut(&*snapshot, PROFILE_ENTRIES_KEPT).await? else {
        return Ok(0);
    };
    in_steps(database, Log::Profiles, cut).await
}

/// A log of the server that is cut at one place.
#[derive(Clone, Copy)]
enum Log {
    DeviceLists,
    Profiles,
}

/// Takes away what is before the cut, some with each commit; how many entries went.
async fn in_steps(database: &Database, log: Log, cut: Stamp) -> Result<usize, Untrimmed> {
    let mut gone = 0;
    loop {
        let snapshot = database.snapshot().await?;
        let mut commit = Commit::lazy();
        let step = match log {
            Log::DeviceLists => trim_device_list_log(&*snapshot, &mut commit, cut).await?,
            Log::Profiles => trim_profile_log(&*snapshot, &mut commit, cut).await?,
        };
        if step == 0 {
            return Ok(gone);
        }
        database.engine().commit(commit).await?;
        gone += step;
    }
}

async fn trim_members(database: &Database, until: Stamp) -> Result<usize, Untrimmed> {
    let (mut gone, mut after) = (0, None::<OwnedRoomId>);
    loop {
        let snapshot = database.snapshot().await?;
        let page = rooms(&*snapshot, after.as_deref(), TRIM_ROOMS_MAX).await?;
        let names: Vec<_> = page.iter().map(|(room, _)| &**room).collect();
        let mut commit = Commit::lazy();
        let step = trim_member_logs(&*snapshot, &mut commit, &names, until, MEMBER_ENTRIES_KEPT);
        let step = step.await?;
        if step > 0 {
            database.engine().commit(commit).await?;
            gone += step;
            // The same rooms again: one commit does not take all of a long log.
            continue;
        }
        let Some((last, _)) = page.last().filter(|_| page.len() == TRIM_ROOMS_MAX) else {
            return Ok(gone);
        };
        after = Some(last.clone());
        tokio::task::yield_now().await;
    }
}
