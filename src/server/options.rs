//! What each crate is told, from what the configuration says.
//!
//! It exists so that no crate below knows of configuration files, and so that a limit or a default
//! of theirs that the configuration repeats is held equal by a test.

use std::{thread, time::Duration};

use crate::config::{self, Config, RateLimit, RateLimits};
use belfry_api::{
    About,
    edge::{EdgeOptions, TrustedProxies},
    rate::{Limit, Rate, RateOptions},
};
use belfry_event::SigningKey;
use belfry_node::NodeOptions;
use belfry_policy::Rules;
use belfry_user::{PasswordOptions, Registration, UserOptions};

/// Lanes of a password's hash: one sign-in takes one processor.
const PASSWORD_LANES: u32 = 1;
/// Sign-ins that wait until a password can be checked; more are refused.
const PASSWORD_WAITING_MAX: usize = 64;

/// What the node is told.
pub(crate) fn node(config: &Config, signing_key: SigningKey) -> NodeOptions {
    NodeOptions {
        signing_key,
        rules: Rules::default(),
        users: users(config),
        edge: EdgeOptions {
            trusted_proxies: TrustedProxies(config.listen.trusted_proxies.clone()),
            rates: rates(&config.rate_limits),
        },
        about: About {
            default_room_version: config.rooms.default_version.clone(),
        },
    }
}

fn users(config: &Config) -> UserOptions {
    let accounts = &config.accounts;
    let minutes = accounts.access_token_life_minutes.get();
    UserOptions {
        server_name: config.general.server_name.clone(),
        registration: match accounts.registration {
            config::Registration::Closed => Registration::Closed,
            config::Registration::Token => Registration::Token,
            config::Registration::Open => Registration::Open,
        },
        access_token_life: Some(Duration::from_mins(minutes)),
        password: PasswordOptions {
            memory_kib: u32::try_from(accounts.password_hash_memory_mib.get() << 10)
                .unwrap_or(u32::MAX),
            passes: u32::try_from(accounts.password_hash_passes.get()).unwrap_or(u32::MAX),
            lanes: PASSWORD_LANES,
            running_max: thread::available_parallelism().map_or(1, usize::from),
            waiting_max: PASSWORD_WAITING_MAX,
            chars_min: usize::try_from(accounts.password_chars_min.get()).unwrap_or(usize::MAX),
        },
    }
}

fn rates(limits: &RateLimits) -> RateOptions {
    let mut rates = RateOptions::field_defaults();
    for (limit, RateLimit(pace)) in named(limits) {
        rates.set(
            limit,
            pace.map(|(interval, burst)| Rate::every(interval, burst)),
        );
    }
    rates
}

/// Which key is which limit.
fn named(limits: &RateLimits) -> [(Limit, RateLimit); 12] {
    [
        (Limit::Message, limits.message),
        (Limit::Registration, limits.registration),
        (
            Limit::RegistrationTokenCheck,
            limits.registration_token_check,
        ),
        (Limit::LoginNetwork, limits.login_network),
        (Limit::LoginAccount, limits.login_account),
        (Limit::LoginFailed, limits.login_failed),
        (Limit::RoomCreation, limits.room_creation),
        (Limit::JoinLocal, limits.join_local),
        (Limit::JoinRoom, limits.join_room),
        (Limit::InviteRoom, limits.invite_room),
        (Limit::InviteUser, limits.invite_user),
        (Limit::InviteIssuer, limits.invite_issuer),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_gives_the_default_rates() {
        let config = config::load(None).unwrap();
        for (limit, RateLimit(pace)) in named(&config.rate_limits) {
            let (interval, burst) = pace.unwrap();
            assert_eq!(
                Rate::every(interval, burst),
                limit.field_default(),
                "{limit:?}"
            );
        }
        assert_eq!(rates(&config.rate_limits), RateOptions::field_defaults());
    }

    #[test]
    fn a_limit_that_is_off_is_not_there() {
        let mut config = config::load(None).unwrap();
        config.rate_limits.message = RateLimit(None);
        let rates = rates(&config.rate_limits);
        assert!(rates.rates().all(|(limit, _)| limit != Limit::Message));
        assert_eq!(rates.rates().count() + 1, Limit::ALL.len());
    }
}
