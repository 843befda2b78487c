//! Draws, in the words of a simulation.
//!
//! It exists so that everything that could have gone otherwise is drawn from a seed, and so that
//! each part of the world draws from a stream of its own: what one does more or less often does not
//! change what another meets. It knows nothing of what the draws decide.

use std::time::Duration;

use belfry_env::Random;

/// A stream of draws.
#[derive(Clone)]
pub(crate) struct Dice(Random);

impl Dice {
    /// The stream of a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Random::seeded(seed))
    }

    /// An independent stream.
    pub(crate) fn fork(&self) -> Self {
        Self(self.0.fork())
    }

    /// Any number.
    pub(crate) fn number(&self) -> u64 {
        self.0.u64()
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.0.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Whether something happens that happens this often in a thousand.
    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        self.0.below(1_000) < per_mille
    }

    /// One of them, each as likely.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let index = self.between(0, from.len() as u64 - 1);
        &from[usize::try_from(index).expect("an index")]
    }

    /// One of the rows, each as likely as its weight says.
    pub(crate) fn weighted<T: Copy>(&self, from: &[(u64, T)]) -> T {
        let sum = from.iter().map(|(weight, _)| weight).sum();
        let mut left = self.0.below(sum);
        for (weight, thing) in from {
            if left < *weight {
                return *thing;
            }
            left -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }

    /// From `low` to `high` milliseconds.
    pub(crate) fn pause(&self, low_ms: u64, high_ms: u64) -> Duration {
        Duration::from_millis(self.between(low_ms, high_ms))
    }
}
