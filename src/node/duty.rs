//! What a server does by itself, now and then: forgets what has expired, remembers its age.
//!
//! It exists so that these are tasks with an owner, a limit for each round, and an end when the
//! server stops. It knows nothing of what the rows are for.

use std::time::Duration;

use belfry_data::{AgeRow, Commit, CommitError, Database, EXPIRE_MAX, ReadError};
use belfry_env::{Age, Env, WallWatch};
use belfry_flow::Flows;
use belfry_media::Media;
use belfry_sync::Views;

/// How often expired rows are looked for.
pub const EXPIRY_INTERVAL: Duration = Duration::from_mins(1);
/// Commits of one round, each of at most [`EXPIRE_MAX`] rows; the rest waits for the next round.
pub const EXPIRY_STEPS_MAX: usize = 100;
/// How often the installation's age is stored. A crash loses that much of it, and gets it back
/// from the wall clock.
pub const AGE_INTERVAL: Duration = Duration::from_mins(1);

/// How often flows are looked for that nobody told of.
pub const FLOWS_INTERVAL: Duration = Duration::from_mins(1);

/// How often changes of rooms and profiles are taken over into the directories. Whoever reads
/// one does so anyway.
pub const DIRECTORY_INTERVAL: Duration = Duration::from_secs(10);

/// Why a duty was not done this time.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Goes on from the age that was stored last.
pub(crate) async fn resume_age(env: &Env, database: &Database) -> Result<(), ReadError> {
    let snapshot = database.snapshot().await?;
    if let Some(AgeRow { age_ms, wall_ms }) = belfry_data::age(&*snapshot).await? {
        env.clock.resume(Age { age_ms, wall_ms });
    }
    Ok(())
}

/// How often files are looked for that nothing refers to.
pub const MEDIA_SWEEP_INTERVAL: Duration = Duration::from_hours(6);

/// Removes files that nothing refers to, now and then.
pub(crate) fn sweep_media(env: &Env, media: &Media) {
    let (env_of_task, media) = (env.clone(), media.clone());
    env.tasks.spawn("media sweep", async move {
        let mut after = None;
        while rest(&env_of_task, MEDIA_SWEEP_INTERVAL).await {
            match media.sweep(after).await {
                Ok((next, removed)) => {
                    after = next;
                    tracing::debug!(removed, "files that nothing refers to were removed");
                }
                Err(error) => {
                    tracing::warn!(%error, "unused files were not removed; the next round tries again");
                }
            }
        }
    });
}

/// How often copies of other servers' files are looked through for old ones.
pub const COPIES_INTERVAL: Duration = Duration::from_hours(1);

/// Drops copies of other servers' files that nobody uses, now and then. What of it is done is in the
/// database, so a restart goes on.
pub(crate) fn trim_copies(env: &Env, media: &Media) {
    let (env_of_task, media) = (env.clone(), media.clone());
    env.tasks.spawn("media copies", async move {
        while rest(&env_of_task, COPIES_INTERVAL).await {
            match media.trim_copies().await {
                Ok(dropped) => tracing::debug!(dropped, "copies that nobody uses were dropped"),
                Err(error) => {
                    tracing::warn!(%error, "old copies were not dropped; the next round tries again");
                }
            }
        }
    });
}

/// Starts all duties.
pub(crate) fn start(env: &Env, database: &Database, flows: &Flows) {
    let spawn = &env.tasks;
    spawn.spawn("expiry", expire(env.clone(), database.clone()));
    spawn.spawn("age", keep_age(env.clone(), database.clone()));
    spawn.spawn("flow watch", resume_flows(env.clone(), flows.clone()));
}

/// Goes on with what was begun and not done: at start, and for those whose beginning nobody told of,
/// as when a command closes an account.
async fn resume_flows(env: Env, flows: Flows) {
    loop {
        flows.resume();
        if !rest(&env, FLOWS_INTERVAL).await {
            return;
        }
    }
}

/// Keeps the directories of rooms and users up to date, so that those who read them find little to
/// do. Lives as long as the server.
pub(crate) fn keep_directories(env: &Env, views: &Views) {
    let (own, views) = (env.clone(), views.clone());
    env.tasks.spawn("directories", async move {
        while rest(&own, DIRECTORY_INTERVAL).await {
            // A round that did not reach the end goes on at once, unless the server stops.
            while !own.shutdown.begun() {
                match views.refresh_directories().await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the directories lag; the next round tries again");
                        break;
                    }
                }
            }
        }
    });
}

/// Removes rows whose time is up, round after round.
async fn expire(env: Env, database: Database) {
    while rest(&env, EXPIRY_INTERVAL).await {
        if let Err(error) = expire_round(&env, &database).await {
            tracing::warn!(%error, "expired rows were not removed; the next round tries again");
        }
    }
}

async fn expire_round(env: &Env, database: &Database) -> Result<(), Undone> {
    for _ in 0..EXPIRY_STEPS_MAX {
        if env.shutdown.begun() {
            break;
        }
        let snapshot = database.snapshot().await?;
        // Lazy: what a crash brings back is removed again.
        let mut commit = Commit::lazy();
        let removed = belfry_data::expire(&*snapshot, &mut commit, env.clock.age_ms()).await?;
        if removed > 0 {
            database.engine().commit(commit).await?;
        }
        if removed < EXPIRE_MAX {
            break;
        }
    }
    Ok(())
}

/// Stores the age now and then and at the end, and says so when the wall clock was set.
async fn keep_age(env: Env, database: Database) {
    let mut watch = WallWatch::new(&env.clock);
    loop {
        let goes_on = rest(&env, AGE_INTERVAL).await;
        if let Some(jump_ms) = watch.jump_ms(&env.clock) {
            tracing::warn!(
                jump_ms,
                "the wall clock was set; timestamps of events jump with it, nothing else does"
            );
        }
        // The last one is worth a sync: nobody says how long the server stays away.
        let commit = if goes_on {
            Commit::lazy()
        } else {
            Commit::synced()
        };
        if let Err(error) = store_age(&env, &database, commit).await {
            tracing::warn!(%error, "the server's age was not stored; the next round tries again");
        }
        if !goes_on {
            return;
        }
    }
}

async fn store_age(env: &Env, database: &Database, mut commit: Commit) -> Result<(), CommitError> {
    let Age { age_ms, wall_ms } = env.clock.age();
    belfry_data::store_age(&mut commit, &AgeRow { age_ms, wall_ms });
    database.engine().commit(commit).await.map(|_| ())
}

/// Waits; `false` if the server stops.
async fn rest(env: &Env, span: Duration) -> bool {
    env.shutdown.unless(env.clock.sleep(span)).await.is_some()
}
