//! Where random numbers come from: the operating system's entropy once at start, or a seed.
//!
//! The operating system can only refuse at start, where it is an error to report; every later draw
//! succeeds.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[expect(
    clippy::disallowed_types,
    reason = "the one place that asks the system"
)]
use rand::rngs::SysRng;
use rand::{Rng, RngExt, SeedableRng, TryCryptoRng, TryRng, rngs::SysError};
use rand_chacha::ChaCha20Rng;

/// Letters and digits, for [`Random::token`]: 62, so 16 characters hold 95 bits.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The operating system gave no entropy.
#[derive(Debug)]
pub struct Entropy(SysError);

impl fmt::Display for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the operating system gives no random numbers ({}); allow the getrandom system call",
            self.0
        )
    }
}

impl std::error::Error for Entropy {}

/// A source of random numbers fit for keys and tokens. Clones draw from the same stream; a
/// [`Random::fork`] has its own. Libraries that want a generator take `&mut random.clone()`.
#[derive(Clone)]
pub struct Random(Arc<Mutex<ChaCha20Rng>>);

impl Random {
    /// Seeded by the operating system.
    pub fn system() -> Result<Self, Entropy> {
        system_seed().map(Self::from_seed)
    }

    /// The same numbers for the same seed, on every machine.
    pub fn seeded(seed: u64) -> Self {
        let mut wide = [0; 32];
        wide[..8].copy_from_slice(&seed.to_le_bytes());
        Self::from_seed(wide)
    }

    /// An independent source, seeded from this one: whoever owns it draws without moving anybody
    /// else's numbers.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::from_seed(self.bytes())
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.stream().fill_bytes(&mut out);
        out
    }

    /// Any number.
    pub fn u64(&self) -> u64 {
        self.stream().next_u64()
    }

    /// A number from 0 to `end`, `end` excluded, each as likely; 0 if `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        if end == 0 {
            0
        } else {
            self.stream().random_range(0..end)
        }
    }

    /// `length` letters and digits (A–Z, a–z, 0–9), 5.95 bits each.
    pub fn token(&self, length: usize) -> String {
        let mut stream = self.stream();
        (0..length)
            .map(|_| char::from(LETTERS[stream.random_range(0..LETTERS.len())]))
            .collect()
    }

    /// Between half of `span` and all of it, so that many who wait do not come back together.
    pub fn jitter(&self, span: Duration) -> Duration {
        let half = span / 2;
        let spread_us = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half.saturating_add(Duration::from_micros(self.below(spread_us)))
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(ChaCha20Rng::from_seed(seed))))
    }

    fn stream(&self) -> MutexGuard<'_, ChaCha20Rng> {
        // A draw cannot leave the generator half changed, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Random {
    /// Never shows the state: it would tell every number to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.stream().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.stream().next_u64())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.stream().fill_bytes(dst);
        Ok(())
    }
}

impl TryCryptoRng for Random {}

fn system_seed() -> Result<[u8; 32], Entropy> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(Entropy)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_these_numbers_on_every_machine() {
        // The keystream of ChaCha20 with the key 1, 0, 0 ..., as `openssl enc -chacha20` gives it.
        let keystream = [
            0xc5, 0xd3, 0x0a, 0x7c, 0xe1, 0xec, 0x11, 0x93, 0x78, 0xc8, 0x4f, 0x48, 0x7d, 0x77,
            0x5a, 0x85,
        ];
        assert_eq!(Random::seeded(1).bytes(), keystream);
        assert_eq!(Random::seeded(1).token(12), "UZHWnKXjob8u");
    }

    #[test]
    fn clones_share_a_stream_and_forks_do_not() {
        let (one, other) = (Random::seeded(3), Random::seeded(3));
        let clone = one.clone();
        assert_eq!(one.u64(), other.u64());
        assert_eq!(clone.u64(), other.u64());
        let (fork, twin) = (one.fork(), other.fork());
        assert_ne!(fork.u64(), one.u64());
        other.u64();
        assert_eq!(one.u64(), other.u64(), "a fork moves only its own stream");
        twin.u64();
        assert_eq!(fork.u64(), twin.u64());
    }

    #[test]
    fn every_number_below_the_end_comes_and_none_beyond() {
        let random = Random::seeded(4);
        let seen: BTreeSet<_> = (0..1_000).map(|_| random.below(10)).collect();
        assert_eq!(seen, (0..10).collect());
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn tokens_hold_letters_and_digits_of_the_length_asked() {
        let random = Random::seeded(5);
        let token = random.token(1_000);
        assert_eq!(token.len(), 1_000);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(token.bytes().collect::<BTreeSet<_>>().len(), 62);
        assert_eq!(random.token(0), "");
    }

    #[test]
    fn jitter_stays_within_half_and_all() {
        let random = Random::seeded(6);
        let span = Duration::from_secs(10);
        for _ in 0..1_000 {
            let jittered = random.jitter(span);
            assert!(jittered >= span / 2 && jittered < span, "{jittered:?}");
        }
        assert_eq!(random.jitter(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_system_gives_two_callers_different_numbers() {
        let (one, other) = (Random::system().unwrap(), Random::system().unwrap());
        assert_ne!(one.bytes::<32>(), other.bytes::<32>());
    }

    #[test]
    fn a_library_can_draw_from_it() {
        fn draw(rng: &mut impl rand::CryptoRng) -> u64 {
            rng.next_u64()
        }
        let drawn = draw(&mut Random::seeded(7).clone());
        assert_eq!(drawn, Random::seeded(7).u64());
    }

    #[test]
    fn debug_shows_no_state() {
        assert_eq!(format!("{:?}", Random::seeded(8)), "Random");
    }
}
