//! The installation's age over restarts: read at start, stored now and then and at the end.
//!
//! It exists because `env` tells the age and `data` remembers it, and neither knows the other.

use std::time::Duration;

use belfry_data::{AgeRow, Commit, CommitError, Database, ReadError};
use belfry_env::{Age, Clock, Env};

/// How much of a life may have to be guessed from the wall clock after a crash.
const STORE_INTERVAL: Duration = Duration::from_mins(10);

/// Lets the clock go on from the age that was stored last.
pub(crate) async fn resume(database: &Database, clock: &Clock) -> Result<(), ReadError> {
    let snapshot = database.snapshot().await?;
    if let Some(AgeRow { age_ms, wall_ms }) = belfry_data::age(&*snapshot).await? {
        clock.resume(Age { age_ms, wall_ms });
    }
    Ok(())
}

/// Stores the age until the server stops, a last time then.
pub(crate) async fn keep(database: Database, env: Env) {
    loop {
        if let Err(error) = store(&database, &env.clock).await {
            tracing::warn!(%error, "the installation's age was not stored");
        }
        if env.shutdown.begun() {
            return;
        }
        env.shutdown.unless(env.clock.sleep(STORE_INTERVAL)).await;
    }
}

async fn store(database: &Database, clock: &Clock) -> Result<(), CommitError> {
    let Age { age_ms, wall_ms } = clock.age();
    let mut commit = Commit::lazy();
    belfry_data::store_age(&mut commit, &AgeRow { age_ms, wall_ms });
    database.engine().commit(commit).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use belfry_data::Incarnation;
    use belfry_env::SimulatedWall;
    use belfry_kv::Memory;

    use super::*;

    const START_MS: u64 = 1_700_000_000_000;

    #[tokio::test(start_paused = true)]
    async fn a_life_goes_on_over_a_restart() {
        let wall = SimulatedWall::at(START_MS);
        let engine = Arc::new(Memory::default());
        let name = "a.example".try_into().unwrap();
        let database = belfry_data::open(engine, name, Incarnation([7; 16])).await;
        let database = database.unwrap();
        let first = Env::simulated(1, &wall);
        let kept = first
            .tasks
            .spawn("age", keep(database.clone(), first.clone()));
        first.clock.sleep(Duration::from_hours(1)).await;
        assert!(first.stop(Duration::from_secs(1)).await.is_clean());
        kept.await.unwrap();

        let second = Env::simulated(2, &wall);
        second.clock.sleep(Duration::from_mins(1)).await;
        resume(&database, &second.clock).await.unwrap();
        assert_eq!(second.clock.age_ms(), 61 * 60_000);
    }
}
