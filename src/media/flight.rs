//! Work that many want and that is done once.
//!
//! Exists so that a thousand people who look at one picture have it fetched or made once, and so
//! that it is finished although the first of them goes away. Knows nothing of the work.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_env::Tasks;
use tokio::sync::watch;

/// Pieces of work under way of one kind; further ones are refused.
pub(crate) const FLIGHTS_MAX: usize = 256;

type Underway<K, T> = BTreeMap<K, watch::Receiver<Option<T>>>;

/// What is under way, by what it is.
#[derive(Debug)]
pub(crate) struct Flights<K, T>(Arc<Mutex<Underway<K, T>>>);

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Takes the work off the list, whatever becomes of it.
struct Landing<K: Ord, T>(Arc<Mutex<Underway<K, T>>>, K);

impl<K: Ord, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        lock(&self.0).remove(&self.1);
    }
}

fn lock<K, T>(underway: &Mutex<Underway<K, T>>) -> MutexGuard<'_, Underway<K, T>> {
    underway.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, T> Flights<K, T>
where
    K: Ord + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// What the work gives: that which is under way, or `work`, which is begun. `None` if too much
    /// is under way, or if it ended without a word.
    pub(crate) async fn join<F>(
        &self,
        tasks: &Tasks,
        name: &'static str,
        key: K,
        work: impl FnOnce() -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut result = self.board(tasks, name, key, work)?;
        let landed = result.wait_for(Option::is_some).await;
        landed.ok().and_then(|result| result.clone())
    }

    fn board<F>(
        &self,
        tasks: &Tasks,
        name: &'static str,
        key: K,
        work: impl FnOnce() -> F,
    ) -> Option<watch::Receiver<Option<T>>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (tell, result) = watch::channel(None);
        {
            let mut underway = lock(&self.0);
            if let Some(result) = underway.get(&key) {
                return Some(result.clone());
            }
            if underway.len() >= FLIGHTS_MAX {
                return None;
            }
            underway.insert(key.clone(), result.clone());
        }
        let landing = Landing(Arc::clone(&self.0), key);
        let work = work();
        tasks.spawn(name, async move {
            let done = work.await;
            // Whoever comes from now on finds what the work left.
            drop(landing);
            tell.send_replace(Some(done));
        });
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use belfry_env::{Env, SimulatedWall};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_many_want_is_done_once_though_the_first_goes_away() {
        let env = Env::simulated(1, &SimulatedWall::at(0));
        let (flights, begun) = (
            Flights::<u8, usize>::default(),
            Arc::new(AtomicUsize::new(0)),
        );
        let join = || {
            let (begun, clock) = (Arc::clone(&begun), env.clock.clone());
            flights.join(&env.tasks, "work", 1, move || async move {
                clock.sleep(Duration::from_secs(1)).await;
                begun.fetch_add(1, Ordering::SeqCst) + 1
            })
        };
        let first = env.clock.within(Duration::from_millis(10), join()).await;
        assert!(first.is_err());
        assert_eq!(tokio::join!(join(), join()), (Some(1), Some(1)));
        assert_eq!(join().await, Some(2), "nothing is remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_leaves_no_trace() {
        let env = Env::simulated(1, &SimulatedWall::at(0));
        let flights = Flights::<u8, ()>::default();
        let broken = flights.join(&env.tasks, "work", 1, || async { panic!("broken") });
        assert_eq!(broken.await, None);
        assert_eq!(
            flights.join(&env.tasks, "work", 1, || async {}).await,
            Some(())
        );
    }
}
