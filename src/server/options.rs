//! What each crate is told, from what the configuration says.
//!
//! It exists so that no crate below knows of configuration files, and so that a limit or a default
//! of theirs that the configuration repeats is held equal by a test.

use std::{sync::Arc, thread, time::Duration};

use crate::{
    config::{self, Config, HostPattern, Publishing, RateLimit, RateLimits, Refusing, Secret},
    message::Message,
};
use belfry_api::{
    About, Turn, WellKnown,
    edge::{EdgeOptions, TrustedProxies},
    rate::{Limit, Rate, RateOptions},
};
use belfry_blob::Blobs;
use belfry_event::SigningKey;
use belfry_media::{CopyOptions, Help, MediaOptions, PreviewOptions};
use belfry_node::NodeOptions;
use belfry_policy::{Action, DEFAULT_CLASS, MEMBER, Rules};
use belfry_user::{PasswordOptions, Registration, SharedSecret, UserOptions};

/// Lanes of a password's hash: one sign-in takes one processor.
const PASSWORD_LANES: u32 = 1;
/// Sign-ins that wait until a password can be checked; more are refused.
const PASSWORD_WAITING_MAX: usize = 64;

/// What the node is told.
pub(crate) fn node(config: &Config, signing_key: SigningKey, blobs: Arc<dyn Blobs>) -> NodeOptions {
    NodeOptions {
        signing_key,
        rules: rules(config.rooms.directory_publishing),
        users: users(config),
        blobs,
        media: media(config),
        edge: EdgeOptions {
            trusted_proxies: TrustedProxies(config.listen.trusted_proxies.clone()),
            rates: rates(&config.rate_limits),
        },
        // Only who serves speaks to others: see `federation`.
        federation: None,
        // The same: see `push`.
        push: None,
        // Only who serves shows previews: see `federation`.
        web: None,
        about: About {
            default_room_version: config.rooms.default_version.clone(),
            unauthenticated_media: config.media.without_token == Refusing::Allow,
            well_known: well_known(config),
            // Only who serves needs it: see `turn`.
            turn: None,
        },
    }
}

fn media(config: &Config) -> MediaOptions {
    MediaOptions {
        server_name: config.general.server_name.clone(),
        upload_bytes_max: config.media.upload_mib_max.get() << 20,
        user_bytes_max: config.media.user_mib_max.map(|max| max.get() << 20),
        server_bytes_max: config.media.server_mib_max.map(|max| max.get() << 20),
        help: help(config),
        copies: CopyOptions {
            file_bytes_max: config.media.remote_mib_max.get() << 20,
            bytes_max: config.media.copies_mib_max.get() << 20,
            unused_time_max: Duration::from_hours(24 * config.media.copies_unused_days_max.get()),
        },
        previews: previews(config),
    }
}

/// Where people find help: what the configuration names, or what this server says of itself.
fn help(config: &Config) -> Help {
    let known = &config.well_known;
    let page = known.support_page.as_ref().map(|page| page.0.clone());
    let info_uri = page.unwrap_or_else(|| {
        let base = known.client_base_url.as_ref().map(|url| url.0.clone());
        let base = base.unwrap_or_else(|| format!("https://{}", config.general.server_name));
        format!("{}/.well-known/matrix/support", base.trim_end_matches('/'))
    });
    let mail = known.support_email.as_ref();
    let admin_contact = mail.map_or_else(|| info_uri.clone(), |mail| format!("mailto:{}", mail.0));
    Help {
        info_uri,
        admin_contact,
    }
}

fn previews(config: &Config) -> Option<PreviewOptions> {
    let previews = &config.previews;
    let hosts = |list: &[HostPattern]| list.iter().map(|host| host.0.clone()).collect();
    (previews.mode == config::Switch::On).then(|| PreviewOptions {
        allowed: hosts(&previews.allowed_hosts),
        denied: hosts(&previews.denied_hosts),
    })
}

fn well_known(config: &Config) -> WellKnown {
    let known = &config.well_known;
    WellKnown {
        client_base_url: known.client_base_url.as_ref().map(|url| url.0.clone()),
        server: known.server.clone(),
        support_page: known.support_page.as_ref().map(|url| url.0.clone()),
        support_email: known.support_email.as_ref().map(|mail| mail.0.clone()),
        support_user: known.support_user.clone(),
    }
}

/// The servers that help calls through firewalls, if there are any.
pub(crate) fn turn(config: &Config) -> Result<Option<Turn>, Message> {
    let calls = &config.turn;
    let Some(file) = calls
        .secret_file
        .as_ref()
        .filter(|_| !calls.uris.is_empty())
    else {
        return Ok(None);
    };
    let secret = SharedSecret::new(Secret::read(file)?.expose())
        .ok_or_else(|| Message::new("secret-empty").with("file", file.as_path()))?;
    Ok(Some(Turn {
        uris: calls.uris.iter().map(|uri| uri.0.clone()).collect(),
        secret,
        credentials_life: Duration::from_mins(calls.credentials_life_minutes.get()),
    }))
}

/// The default rules, less what the configuration withholds.
fn rules(publishing: Publishing) -> Rules {
    let mut rules = Rules::default();
    match publishing {
        Publishing::Everybody => {}
        Publishing::Administrators => {
            if let Some(member) = rules.roles.get_mut(MEMBER) {
                member.may.remove(&Action::Publish);
            }
        }
        Publishing::Nobody => {
            if let Some(class) = rules.classes.get_mut(DEFAULT_CLASS) {
                class.withheld.insert(Action::Publish);
            }
        }
    }
    rules
}

fn users(config: &Config) -> UserOptions {
    let accounts = &config.accounts;
    let minutes = accounts.access_token_life_minutes.get();
    UserOptions {
        presence: accounts.presence == config::Switch::On,
        server_name: config.general.server_name.clone(),
        registration: match accounts.registration {
            config::Registration::Closed => Registration::Closed,
            config::Registration::Token => Registration::Token,
            config::Registration::Open => Registration::Open,
        },
        access_token_life: Some(Duration::from_mins(minutes)),
        idle_device_life: accounts
            .idle_device_days_max
            .map(|max| Duration::from_hours(24 * max.get())),
        password: PasswordOptions {
            memory_kib: u32::try_from(accounts.password_hash_memory_mib.get() << 10)
                .unwrap_or(u32::MAX),
            passes: u32::try_from(accounts.password_hash_passes.get()).unwrap_or(u32::MAX),
            lanes: PASSWORD_LANES,
            running_max: thread::available_parallelism().map_or(1, usize::from),
            waiting_max: PASSWORD_WAITING_MAX,
            chars_min: usize::try_from(accounts.password_chars_min.get()).unwrap_or(usize::MAX),
        },
        // Only who serves needs it: see `shared_secret`.
        shared_secret: None,
    }
}

/// The secret by which accounts are made over HTTP, if there is to be one.
pub(crate) fn shared_secret(config: &Config) -> Result<Option<SharedSecret>, Message> {
    let Some(file) = &config.accounts.registration_secret_file else {
        return Ok(None);
    };
    let secret = Secret::read(file)?;
    SharedSecret::new(secret.expose())
        .map(Some)
        .ok_or_else(|| Message::new("secret-empty").with("file", file.as_path()))
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
fn named(limits: &RateLimits) -> [(Limit, RateLimit); 19] {
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
        (Limit::KeyClaim, limits.key_claim),
        (Limit::UserDirectory, limits.user_directory),
        (Limit::Report, limits.report),
        (Limit::Presence, limits.presence),
        (Limit::MediaCreate, limits.media_create),
        (Limit::MediaUpload, limits.media_upload),
        (Limit::UrlPreview, limits.url_preview),
    ]
}

#[cfg(test)]
mod tests {
    use belfry_policy::{ADMIN, Account, Request, Requester, Room, Standing};
    use ruma_common::user_id;

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
    fn help_is_where_the_configuration_says_or_where_the_server_speaks_of_itself() {
        let help = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let help = help(&config::load(Some(file.path())).unwrap());
            [help.info_uri, help.admin_contact]
        };
        let own = "https://localhost/.well-known/matrix/support";
        assert_eq!(help(""), [own, own]);
        let other = "https://m.example/.well-known/matrix/support";
        assert_eq!(
            help("well_known.client_base_url = 'https://m.example/'"),
            [other, other]
        );
        assert_eq!(
            help(
                "well_known = { support_page = 'https://x.example', support_email = 'a@x.example' }"
            ),
            ["https://x.example", "mailto:a@x.example"]
        );
    }

    /// Whether an ordinary account, and whether an administrator, may publish a room.
    fn may_publish(publishing: Publishing) -> [bool; 2] {
        let rules = rules(publishing);
        assert_eq!(rules.problems(), []);
        let room = Room {
            id: None,
            class: DEFAULT_CLASS,
        };
        [MEMBER, ADMIN].map(|role| {
            let account = Account {
                id: user_id!("@ada:localhost"),
                role,
                standing: Standing::Active,
            };
            let asking = Request::new(Requester::Account(account), Action::Publish);
            belfry_policy::decide(&rules, &asking.in_room(room))
                .into_result()
                .is_ok()
        })
    }

    #[test]
    fn publishing_is_for_whom_the_configuration_says() {
        assert_eq!(may_publish(Publishing::Everybody), [true, true]);
        assert_eq!(may_publish(Publishing::Administrators), [false, true]);
        assert_eq!(may_publish(Publishing::Nobody), [false, false]);
    }

    #[test]
    fn a_shared_secret_is_read_and_an_empty_one_refused() {
        let mut config = config::load(None).unwrap();
        assert!(shared_secret(&config).unwrap().is_none());
        // Temporary files are their owner's only, as secrets must be.
        let file = tempfile::NamedTempFile::new().unwrap();
        config.accounts.registration_secret_file = Some(file.path().to_owned());
        for (text, expected) in [("", None), ("\n", None), ("word\n", Some(()))] {
            std::fs::write(file.path(), text).unwrap();
            let read = shared_secret(&config);
            assert_eq!(read.as_ref().ok().map(drop), expected, "{text:?}");
            assert!(
                read.err()
                    .is_none_or(|message| message.id == "secret-empty")
            );
        }
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
