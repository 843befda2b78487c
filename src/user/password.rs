//! Passwords: argon2id in a bounded pool, never on a thread that serves requests.
//!
//! Each hash takes the configured memory for a fraction of a second, so how many run at once is
//! how much memory sign-ins may take, and how many wait is how long one may have to. Knows nothing
//! of accounts.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, PasswordHash, Salt},
};
use belfry_env::{Env, Pool, PoolError, PoolLimits, Random};

use crate::fault::Fault;

/// Longest password. Hashing reads all of it, so somebody could send a megabyte to keep us busy.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// Largest memory of one hash, KiB, that is kept for the next one. The allocator gives larger ones
/// back to the system by itself; smaller ones it would keep in every thread that ever hashed.
pub const PASSWORD_MEMORY_KEPT_KIB_MAX: u32 = 32 * 1024;

/// What hashing a password costs, and how much of it goes on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordOptions {
    /// Memory for one hash, KiB. 65,536 by default.
    pub memory_kib: u32,
    /// Passes over it. 3 by default.
    pub passes: u32,
    /// Lanes. 1 by default.
    pub lanes: u32,
    /// Hashes that run at once. The number of cores by default.
    pub running_max: usize,
    /// Sign-ins that wait for their turn; more are refused. 64 by default.
    pub waiting_max: usize,
    /// Shortest password that may be chosen, in characters. 8 by default.
    pub chars_min: usize,
}

/// Why a password cannot be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Beyond [`PASSWORD_BYTES_MAX`].
    #[error("choose a password of at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Below [`PasswordOptions::chars_min`], which is this.
    #[error("choose a password of at least {0} characters")]
    TooShort(usize),
}

/// Hashes and verifies. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    pool: Pool,
    random: Random,
    params: Params,
    scratch: Arc<Scratch>,
    chars_min: usize,
    // What the password of somebody unknown is compared with, so that it takes as long.
    decoy: Arc<str>,
}

impl Passwords {
    /// Fails if argon2 does not take the parameters.
    pub(crate) fn new(env: &Env, options: &PasswordOptions) -> Result<Self, Fault> {
        let limits = PoolLimits {
            running_max: options.running_max,
            waiting_max: options.waiting_max,
        };
        let params = Params::new(options.memory_kib, options.passes, options.lanes, None);
        let params = params.map_err(|error| Fault::Broken(format!("password hashing: {error}")))?;
        let decoy = decoy(&params, &env.random).map_err(broken)?;
        Ok(Self {
            pool: env.tasks.pool("password hashing", limits),
            random: env.random.fork(),
            params,
            scratch: Arc::default(),
            chars_min: options.chars_min,
            decoy: decoy.into(),
        })
    }

    /// Whether somebody may choose this password.
    pub(crate) fn judge(&self, password: &str) -> Result<(), Unfit> {
        if password.len() > PASSWORD_BYTES_MAX {
            Err(Unfit::TooLong)
        } else if password.chars().count() < self.chars_min {
            Err(Unfit::TooShort(self.chars_min))
        } else {
            Ok(())
        }
    }

    /// The PHC string to store.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Fault> {
        let (params, salt) = (self.params.clone(), self.random.bytes::<16>());
        let (password, scratch) = (password.to_owned(), Arc::clone(&self.scratch));
        let hashed = self
            .pool
            .run(move || hash(&scratch, params, &salt, &password))
            .await;
        hashed.map_err(fault)?.map_err(broken)
    }

    /// Whether it is the one that `stored` was made from. With nothing stored (no account, or one
    /// without a password) the answer is no and takes as long.
    pub(crate) async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, Fault> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let (password, known) = (password.to_owned(), stored.is_some());
        let stored = stored.unwrap_or(&self.decoy).to_owned();
        let scratch = Arc::clone(&self.scratch);
        let same = self
            .pool
            .run(move || verify(&scratch, &password, &stored).unwrap_or(false))
            .await;
        Ok(same.map_err(fault)? && known)
    }
}

/// A stored hash that no password gives, made without hashing: comparing with it costs what
/// comparing with a real one of these parameters does.
fn decoy(params: &Params, random: &Random) -> Result<String, argon2::password_hash::Error> {
    let unfit = |_| argon2::password_hash::Error::Internal;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into()?,
        salt: Some(Salt::new(&random.bytes::<16>()).map_err(unfit)?),
        hash: Some(Output::new(&random.bytes::<{ Params::DEFAULT_OUTPUT_LEN }>()).map_err(unfit)?),
    };
    Ok(hash.to_string())
}

/// Memory of hashes that have ended, for those to come: as many as ever ran at once.
#[derive(Debug, Default)]
struct Scratch(Mutex<Vec<Vec<Block>>>);

impl Scratch {
    /// What argon2 makes of a password; the output is as long as the parameters say.
    fn output(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
    ) -> Result<Output, argon2::password_hash::Error> {
        let params = argon2.params();
        let mut blocks = self.take();
        blocks.resize(params.block_count(), Block::new());
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let mut bytes = [0; Output::MAX_LENGTH];
        let out = bytes.get_mut(..length);
        let out = out.ok_or(argon2::password_hash::Error::OutputSize)?;
        argon2.hash_password_into_with_memory(password, salt, out, &mut blocks)?;
        if params.m_cost() <= PASSWORD_MEMORY_KEPT_KIB_MAX {
            self.keep(blocks);
        }
        Ok(Output::new(out)?)
    }

    /// The memory that was used last, of which little is to be made or cut.
    fn take(&self) -> Vec<Block> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    fn keep(&self, blocks: Vec<Block>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(blocks);
    }
}

fn hash(
    scratch: &Scratch,
    params: Params,
    salt: &[u8],
    password: &str,
) -> Result<String, argon2::password_hash::Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into()?,
        salt: Some(Salt::new(salt)?),
        hash: Some(scratch.output(&argon2, password.as_bytes(), salt)?),
    };
    Ok(hash.to_string())
}

/// The parameters are those of the stored string, so that changing the defaults locks nobody out.
fn verify(
    scratch: &Scratch,
    password: &str,
    stored: &str,
) -> Result<bool, argon2::password_hash::Error> {
    let stored = PasswordHash::new(stored)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Ok(false);
    };
    let version = stored.version.map(Version::try_from).transpose()?;
    let argon2 = Argon2::new(
        Algorithm::try_from(stored.algorithm.as_str())?,
        version.unwrap_or_default(),
        Params::try_from(&stored)?,
    );
    let found = scratch.output(&argon2, password.as_bytes(), salt)?;
    // Takes as long wherever they differ.
    Ok(found == *expected)
}

fn broken(error: argon2::password_hash::Error) -> Fault {
    Fault::Broken(format!("password hashing: {error}"))
}

fn fault(error: PoolError) -> Fault {
    match error {
        PoolError::Full(_) => Fault::Busy,
        error @ (PoolError::Panicked(_) | PoolError::Closed) => Fault::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher as _;
    use belfry_env::SimulatedWall;

    use super::*;

    const CHEAP: PasswordOptions = PasswordOptions {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
        running_max: 1,
        waiting_max: 1,
        chars_min: 8,
    };

    fn passwords() -> Passwords {
        let env = Env::simulated(1, &SimulatedWall::at(0));
        Passwords::new(&env, &CHEAP).unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let passwords = passwords();
        let stored = passwords.hash("wordpass").await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"),
            "{stored}"
        );
        assert!(passwords.verify("wordpass", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("Wordpass", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("wordpass", None).await.unwrap());
        assert!(!passwords.verify("wordpass", Some("damaged")).await.unwrap());
    }

    #[tokio::test]
    async fn memory_of_a_hash_serves_the_next_one_unless_it_is_large() {
        let passwords = passwords();
        let kept = || passwords.scratch.0.lock().unwrap().len();
        let stored = passwords.hash("wordpass").await.unwrap();
        for password in ["wordpass", "Wordpass"] {
            let same = passwords.verify(password, Some(&stored)).await.unwrap();
            assert_eq!(same, password == "wordpass");
            assert_eq!(kept(), 1);
        }
        // A hash of other parameters, made by argon2's own way.
        let params = Params::new(PASSWORD_MEMORY_KEPT_KIB_MAX + 1, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = [7; 16];
        let other = argon2.hash_password_with_salt(b"wordpass", &salt).unwrap();
        let stored = other.to_string();
        assert!(passwords.verify("wordpass", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("Wordpass", Some(&stored)).await.unwrap());
        assert_eq!(kept(), 0);
    }

    #[tokio::test]
    async fn auth_012_the_decoy_costs_what_a_stored_hash_does() {
        let passwords = passwords();
        let stored = passwords.hash("wordpass").await.unwrap();
        let (stored, decoy) = (
            PasswordHash::new(&stored).unwrap(),
            PasswordHash::new(&passwords.decoy).unwrap(),
        );
        assert_eq!(
            (decoy.algorithm, decoy.version),
            (stored.algorithm, stored.version)
        );
        assert_eq!(decoy.params.to_string(), stored.params.to_string());
        let lengths = |hash: &PasswordHash| {
            let salt = hash.salt.as_ref().map(|salt| salt.len());
            (salt, hash.hash.as_ref().map(Output::len))
        };
        assert_eq!(lengths(&decoy), lengths(&stored));
    }

    #[tokio::test]
    async fn same_password_has_two_hashes() {
        let passwords = passwords();
        let (one, two) = (
            passwords.hash("wordpass").await,
            passwords.hash("wordpass").await,
        );
        assert_ne!(one.unwrap(), two.unwrap());
    }

    #[tokio::test]
    async fn auth_013_a_megabyte_is_not_hashed() {
        let passwords = passwords();
        let long = "x".repeat(1 << 20);
        assert_eq!(passwords.judge(&long), Err(Unfit::TooLong));
        let own = passwords.hash("wordpass").await.unwrap();
        assert!(!passwords.verify(&long, Some(&own)).await.unwrap());
    }

    #[tokio::test]
    async fn short_passwords_cannot_be_chosen() {
        assert_eq!(passwords().judge("seven77"), Err(Unfit::TooShort(8)));
        assert_eq!(passwords().judge("éééééééé"), Ok(()));
    }

    #[tokio::test]
    async fn parameters_that_argon2_refuses_are_found_at_start() {
        let env = Env::simulated(1, &SimulatedWall::at(0));
        let options = PasswordOptions {
            memory_kib: 1,
            ..CHEAP
        };
        assert!(matches!(
            Passwords::new(&env, &options),
            Err(Fault::Broken(_))
        ));
    }
}
