//! The ambient world made explicit: time, randomness, tasks and shutdown are values handed around.
//!
//! It exists so that a whole server, or several in one process, runs on one seed and on simulated
//! time: nothing else in the workspace asks the operating system what time it is, draws a random
//! number or spawns a task. It knows nothing of Matrix and nothing of storage.

mod age;
mod clock;
mod pool;
mod random;
mod shutdown;
mod task;

#[cfg(test)]
mod task_tests;

use std::time::Duration;

use tokio::runtime::Handle;

pub use age::{Age, DOWNTIME_MAX};
pub use clock::{Clock, JUMP_MIN_MS, Late, Moment, SimulatedWall, WallWatch};
pub use pool::{Pool, PoolError, PoolLimits};
pub use random::{Entropy, Random};
pub use shutdown::Shutdown;
pub use task::{Ended, JOIN_GRACE, LeakCheck, Stopped, Task, Tasks};

/// Everything ambient that a crate may use. Cheap to clone; clones share all state.
#[derive(Debug, Clone)]
pub struct Env {
    /// What time it is, and how to wait.
    pub clock: Clock,
    /// Where random numbers come from.
    pub random: Random,
    /// The one place that spawns.
    pub tasks: Tasks,
    /// Whether the server is stopping.
    pub shutdown: Shutdown,
}

impl Env {
    /// The real world: the system's clock and random numbers, tasks on `runtime`.
    pub fn system(runtime: Handle) -> Result<Self, Entropy> {
        Ok(Self {
            clock: Clock::system(),
            random: Random::system()?,
            tasks: Tasks::new(runtime),
            shutdown: Shutdown::default(),
        })
    }

    /// A world that repeats itself: random numbers from `seed`, time that follows the runtime's
    /// (paused) time from `wall` on, blocking work done in place.
    ///
    /// # Panics
    /// Outside a runtime: tests call it inside `#[tokio::test(start_paused = true)]`.
    pub fn simulated(seed: u64, wall: &SimulatedWall) -> Self {
        Self {
            clock: Clock::simulated(wall),
            random: Random::seeded(seed),
            tasks: Tasks::in_place(Handle::current()),
            shutdown: Shutdown::default(),
        }
    }

    /// Asks every task to end, waits until they have, aborts those that have not after `deadline`.
    /// Nothing can be spawned afterwards.
    pub async fn stop(&self, deadline: Duration) -> Stopped {
        self.shutdown.begin();
        self.tasks.join(deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;

    /// Draws, waits and spawns; the trace of one small world.
    async fn trace(seed: u64) -> Vec<String> {
        let env = Env::simulated(seed, &SimulatedWall::at(START_MS));
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                let own = env.clone();
                env.tasks.spawn("traveller", async move {
                    let delay_ms = own.random.below(1_000);
                    own.clock.sleep(Duration::from_millis(delay_ms)).await;
                    format!("{number} {} {}", own.clock.wall_ms(), own.random.u64())
                })
            })
            .collect();
        let mut lines = Vec::new();
        for task in tasks {
            lines.push(task.await.unwrap());
        }
        assert!(env.stop(Duration::from_secs(1)).await.is_clean());
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_world() {
        assert_eq!(trace(7).await, trace(7).await);
        assert_ne!(trace(7).await, trace(8).await);
    }

    #[test]
    fn the_system_world_works_on_a_real_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let env = Env::system(runtime.handle().clone()).unwrap();
        let own = env.clone();
        let task = env
            .tasks
            .spawn("clock reader", async move { own.clock.wall_ms() });
        assert!(runtime.block_on(task).unwrap() > START_MS);
        let stopped = runtime.block_on(env.stop(Duration::from_secs(10)));
        assert!(stopped.is_clean(), "{stopped:?}");
    }
}
