//! Where pictures are decoded: a few at a time, in limited memory, and everybody gets a turn.
//!
//! Exists so that a hostile picture, or somebody who asks for a thousand, costs the others little.
//! Knows nothing of files.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_env::{Clock, Moment, Pool, PoolLimits, Tasks};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::MediaError,
    picture::{self, Made, Order, PIXELS_MAX, SOURCE_BYTES_MAX, Size},
};

/// Pictures decoded at once, and how many may wait for it.
const PICTURES: PoolLimits = PoolLimits {
    running_max: 2,
    waiting_max: 256,
};
/// Memory that pictures under way take together, in MiB: one of the largest, or many small ones.
pub const PICTURES_MIB_MAX: u32 = 352;
/// Pictures that one user may have waiting; so one does not keep all others waiting.
pub const WAITING_PER_ASKER_MAX: usize = 16;
/// How long one animation may take; then its first frame is shown.
pub const ANIMATION_TIME_MAX: Duration = Duration::from_secs(5);
/// Pictures that are remembered to be none, and for how long.
pub const FAILURES_MAX: usize = 1_000;
/// How long a picture that could not be made is not tried again.
pub const FAILURE_TIME: Duration = Duration::from_mins(10);
/// Bytes that one pixel takes while it is decoded, at most: four colours of 16 bits, or three with
/// what a progressive JPEG keeps beside them.
const BYTES_PER_PIXEL: u64 = 10;

/// The pool with its limits.
#[derive(Debug)]
pub(crate) struct Studio {
    pool: Pool,
    memory: Arc<Semaphore>,
    waiting: Arc<Mutex<BTreeMap<String, usize>>>,
    failures: Mutex<BTreeMap<String, (Moment, MediaError)>>,
}

/// A place among those that one asker may have; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    waiting: Arc<Mutex<BTreeMap<String, usize>>>,
    asker: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        if let Some(count) = waiting.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.asker);
            }
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Studio {
    pub(crate) fn new(tasks: &Tasks) -> Self {
        let mib = usize::try_from(PICTURES_MIB_MAX).unwrap_or(usize::MAX);
        Self {
            pool: tasks.pool("pictures", PICTURES),
            memory: Arc::new(Semaphore::new(mib)),
            waiting: Arc::default(),
            failures: Mutex::default(),
        }
    }

    /// A turn of this asker.
    pub(crate) fn turn(&self, asker: &str) -> Result<Turn, MediaError> {
        let mut waiting = lock(&self.waiting);
        let count = waiting.entry(asker.to_owned()).or_default();
        if *count >= WAITING_PER_ASKER_MAX {
            return Err(MediaError::Busy);
        }
        *count += 1;
        Ok(Turn {
            waiting: Arc::clone(&self.waiting),
            asker: asker.to_owned(),
        })
    }

    /// Waits for the memory that a picture of so many bytes and pixels takes; if these are not
    /// known, of the most that there may be.
    pub(crate) async fn memory(
        &self,
        bytes: u64,
        pixels: Option<u64>,
    ) -> Result<OwnedSemaphorePermit, MediaError> {
        let pixels = pixels.unwrap_or(PIXELS_MAX).min(PIXELS_MAX);
        let whole = bytes.min(SOURCE_BYTES_MAX) + pixels * BYTES_PER_PIXEL;
        let mib = u32::try_from((whole >> 20) + 1).unwrap_or(u32::MAX);
        let permits = mib.min(PICTURES_MIB_MAX);
        let memory = Arc::clone(&self.memory).acquire_many_owned(permits).await;
        memory.map_err(|_| MediaError::Busy)
    }

    /// Makes the picture when its turn comes.
    pub(crate) async fn make(
        &self,
        clock: &Clock,
        source: Vec<u8>,
        size: Size,
        moving: bool,
    ) -> Result<Option<Made>, MediaError> {
        let clock = clock.clone();
        let work = move || {
            let end = clock.now() + ANIMATION_TIME_MAX;
            let late = &|| clock.now() >= end;
            picture::make(&source, Order { size, moving, late })
        };
        self.pool.run(work).await?
    }

    /// Why this one could not be made a short while ago.
    pub(crate) fn failure(&self, what: &str, now: Moment) -> Option<MediaError> {
        let failures = lock(&self.failures);
        let (at, error) = failures.get(what)?;
        (now.since(*at) < FAILURE_TIME).then(|| error.clone())
    }

    /// Remembers what will not go otherwise the next time.
    pub(crate) fn note_failure(&self, what: &str, now: Moment, error: &MediaError) {
        let lasting = matches!(
            error,
            MediaError::NotAPicture | MediaError::TooManyPixels | MediaError::OriginTooLarge
        );
        if !lasting {
            return;
        }
        let mut failures = lock(&self.failures);
        if failures.len() >= FAILURES_MAX {
            failures.retain(|_, (at, _)| now.since(*at) < FAILURE_TIME);
        }
        if failures.len() >= FAILURES_MAX {
            failures.pop_first();
        }
        failures.insert(what.to_owned(), (now, error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use belfry_env::{Env, SimulatedWall};

    use super::*;

    fn studio() -> (Env, Studio) {
        let env = Env::simulated(1, &SimulatedWall::at(0));
        let studio = Studio::new(&env.tasks);
        (env, studio)
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_asks_for_many_leaves_places_for_others() {
        let (_env, studio) = studio();
        let all: Vec<_> = (0..WAITING_PER_ASKER_MAX)
            .map(|_| studio.turn("@a:b").unwrap())
            .collect();
        assert_eq!(studio.turn("@a:b").unwrap_err(), MediaError::Busy);
        studio.turn("@c:b").unwrap();
        drop(all);
        studio.turn("@a:b").unwrap();
        assert!(lock(&studio.waiting).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_pictures_wait_for_one_another() {
        let (env, studio) = studio();
        let largest = studio.memory(SOURCE_BYTES_MAX, None).await.unwrap();
        let second = studio.memory(SOURCE_BYTES_MAX, None);
        let late = env.clock.within(Duration::from_secs(9), second).await;
        assert!(late.is_err());
        drop(studio.memory(100, Some(100)).await.unwrap());
        drop(largest);
        drop(studio.memory(SOURCE_BYTES_MAX, None).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_picture_is_not_tried_again_for_a_while() {
        let (env, studio) = studio();
        let error = MediaError::NotAPicture;
        studio.note_failure("x", env.clock.now(), &error);
        studio.note_failure("y", env.clock.now(), &MediaError::Busy);
        assert_eq!(studio.failure("x", env.clock.now()), Some(error));
        assert_eq!(studio.failure("y", env.clock.now()), None);
        env.clock.sleep(FAILURE_TIME).await;
        assert_eq!(studio.failure("x", env.clock.now()), None);
    }
}
