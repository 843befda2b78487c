//! Passwords: argon2id in a bounded pool, never on a thread that serves requests.
//!
//! Each hash takes the configured memory for a fraction of a second, so how many run at once is
//! how much memory sign-ins may take, and how many wait is how long one may have to. Knows nothing
//! of accounts.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        PasswordHasher as _, PasswordVerifier as _,
        phc::{Output, PasswordHash, Salt},
    },
};
use belfry_env::{Env, Pool, PoolError, PoolLimits, Random};

use crate::fault::Fault;

/// Longest password. Hashing reads all of it, so somebody could send a megabyte to keep us busy.
pub const PASSWORD_BYTES_MAX: usize = 512;

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
        let password = password.to_owned();
        let hashed = self.pool.run(move || hash(params, &salt, &password)).await;
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
        let same = self.pool.run(move || verify(&password, &stored)).await;
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

fn hash(
    params: Params,
    salt: &[u8],
    password: &str,
) -> Result<String, argon2::password_hash::Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2
        .hash_password_with_salt(password.as_bytes(), salt)?
        .to_string())
}

/// The parameters are those of the stored string, so that changing the defaults locks nobody out.
fn verify(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
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
