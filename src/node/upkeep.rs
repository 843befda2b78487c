//! What a server does for its rooms by itself: works off events that wait, sweeps what joins that
//! were given up left behind.
//!
//! It exists so that neither waits for somebody to come by. It knows nothing of how it is done.

use std::time::Duration;

use belfry_data::{Database, littered_rooms};
use belfry_env::Env;
use belfry_room::{RoomError, Rooms};
use ruma_common::OwnedRoomId;

/// How often rooms are looked after.
pub const UPKEEP_INTERVAL: Duration = Duration::from_mins(10);
/// Rooms swept in one round; the rest waits for the next.
const SWEPT_MAX: usize = 100;

/// Looks after rooms from the start on, until the server stops.
pub(crate) fn keep_rooms(env: &Env, database: &Database, rooms: &Rooms) {
    let (own, database, rooms) = (env.clone(), database.clone(), rooms.clone());
    env.tasks.spawn("room upkeep", async move {
        loop {
            let round = own.shutdown.unless(round(&database, &rooms)).await;
            if let Some(Err(error)) = round {
                tracing::warn!(%error, "rooms were not looked after; the next round tries again");
            }
            let pause = own.clock.sleep(UPKEEP_INTERVAL);
            if own.shutdown.unless(pause).await.is_none() {
                return;
            }
        }
    });
}

async fn round(database: &Database, rooms: &Rooms) -> Result<(), RoomError> {
    rooms.resume().await?;
    let littered: Vec<OwnedRoomId> = {
        let snapshot = database.snapshot().await?;
        littered_rooms(&*snapshot, None, SWEPT_MAX).await?
    };
    for room_id in littered {
        match rooms.sweep(&room_id).await {
            Ok(swept) => tracing::debug!(%room_id, ?swept, "a room was swept"),
            // Somebody is at it, or joins right now.
            Err(RoomError::Busy) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
