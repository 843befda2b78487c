//! Every key of the configuration, with its type and its default.
//!
//! To add one: a line here (the unit last in its name), its sentence `config-TABLE-KEY` in each
//! `text/*.ftl`, then `belfry config default > conf/belfry.toml`. A new kind of value is a type with
//! `Setting` in `value.rs`. A key needs a reader in the program and a reason why one behaviour
//! cannot serve everybody.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use ruma_common::{OwnedServerName, OwnedUserId, RoomVersionId};

use super::{
    address::{CallUri, HostPattern, MailAddress, WebUrl},
    federation::{FormerKey, KeyText},
    source::Source,
    value::{Format, Level, Publishing, RateLimit, Raw, Refusing, Registration, Switch, Whole},
};

/// A key as `config default` and "did you mean" see it.
#[derive(Debug)]
pub(super) struct Key {
    /// The table that it stands in; empty at the top of the file.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    pub(super) default: Raw<'static>,
}

/// Declares the sections: the field of [`Config`], the section's type, its table in the file, and
/// its keys.
macro_rules! sections {
    ($(
        $(#[$meta:meta])*
        $field:ident: $section:ident = $table:literal {
            $( $(#[$key_meta:meta])* $key:ident: $type:ty = $default:expr, )*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq)]
            pub(crate) struct $section { $( $(#[$key_meta])* pub(crate) $key: $type, )* }

            impl $section {
                /// Takes every key before the first wrong one ends it: all problems are reported.
                fn read(source: &mut Source<'_>) -> Option<Self> {
                    $( let $key = source.take($table, stringify!($key), $default); )*
                    Some(Self { $( $key: $key?, )* })
                }
            }
        )*

        /// The whole configuration, one struct per part of the program.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Config { $( $(#[$meta])* pub(crate) $field: $section, )* }

        impl Config {
            /// Takes every key; `None` if one is wrong.
            pub(super) fn read(source: &mut Source<'_>) -> Option<Self> {
                $( let $field = $section::read(source); )*
                Some(Self { $( $field: $field?, )* })
            }
        }

        /// Every key, in the order of the sample file.
        pub(super) const KEYS: &[Key] = &[ $( $(
            Key { table: $table, name: stringify!($key), default: $default },
        )* )* ];
    };
}

sections! {
    /// Which server this is, and where its data are.
    general: General = "" {
        /// The part behind the colon of every user id, for ever.
        server_name: OwnedServerName = Raw::Text("localhost"),
        /// Database, signing key and control socket.
        data_folder: PathBuf = Raw::Text("data"),
        /// Where the signing key is, if not in the data folder.
        signing_key_file: Option<PathBuf> =
            Raw::Unset { example: r#""/run/credentials/belfry.service/signing_key""# },
        /// Threads that answer requests; one per processor if unset.
        worker_threads: Option<Whole<1, 512>> = Raw::Unset { example: "4" },
    }

    /// Where the server is reached.
    listen: Listen = "listen" {
        /// Where HTTP is spoken, without TLS.
        addresses: Vec<SocketAddr> = Raw::List(&[Raw::Text("127.0.0.1:8008")]),
        /// Where HTTPS is spoken.
        tls_addresses: Vec<SocketAddr> = Raw::List(&[]),
        /// The certificate shown there.
        tls_certificate_file: Option<PathBuf> =
            Raw::Unset { example: r#""/etc/belfry/certificate.pem""# },
        /// Its key.
        tls_key_file: Option<PathBuf> =
            Raw::Unset { example: r#""/run/credentials/belfry.service/tls_key""# },
        /// Whose word on a client's address counts.
        trusted_proxies: Vec<IpNet> = Raw::List(&[]),
    }

    /// Other servers.
    federation: Federation = "federation" {
        /// Whether rooms are shared with them.
        mode: Switch = Raw::Text("off"),
        /// Private networks in which other servers are.
        allow_private_networks: Vec<IpNet> = Raw::List(&[]),
        /// Whose certificates are believed besides those that the system believes.
        authority_files: Vec<PathBuf> = Raw::List(&[]),
        /// Servers that vouch for the keys of those that do not answer.
        notaries: Vec<OwnedServerName> = Raw::List(&[]),
        /// Keys that this server signed with before.
        former_signing_keys: Vec<FormerKey> = Raw::List(&[]),
        /// Keys that never count.
        refused_keys: Vec<KeyText> = Raw::List(&[]),
        /// How long a server that does not answer is left alone at most.
        retry_max_minutes: Whole<1, 10_080> = Raw::Number(60),
    }

    /// Telling telephones that something came.
    push: Push = "push" {
        /// Whether push gateways are told.
        mode: Switch = Raw::Text("on"),
        /// Private networks in which gateways are.
        allow_private_networks: Vec<IpNet> = Raw::List(&[]),
        /// Whose certificates are believed besides those that the system believes.
        authority_files: Vec<PathBuf> = Raw::List(&[]),
    }

    /// Accounts.
    accounts: Accounts = "accounts" {
        /// Whether to keep who is there.
        presence: Switch = Raw::Text("on"),
        /// Who may make one.
        registration: Registration = Raw::Text("token"),
        /// Whose secret makes accounts by an administration endpoint; none if unset.
        registration_secret_file: Option<PathBuf> =
            Raw::Unset { example: r#""/run/credentials/belfry.service/registration""# },
        /// How long a client goes on without refreshing its token, if it can.
        access_token_life_minutes: Whole<1, 525_600> = Raw::Number(1_440),
        /// How long a device may be silent before it is signed out; for ever if unset.
        idle_device_days_max: Option<Whole<1, 36_500>> = Raw::Unset { example: "180" },
        /// The shortest password that may be chosen.
        password_chars_min: Whole<1, 128> = Raw::Number(8),
        /// Memory that checking one password takes.
        password_hash_memory_mib: Whole<8, 1_024> = Raw::Number(64),
        /// How often all of that memory is passed over.
        password_hash_passes: Whole<1, 100> = Raw::Number(3),
    }

    /// Rooms.
    rooms: Rooms = "rooms" {
        /// The version of rooms whose creator names none.
        default_version: RoomVersionId = Raw::Text("12"),
        /// Who may show rooms in the directory and give them aliases.
        directory_publishing: Publishing = Raw::Text("everybody"),
    }

    /// Files that users send.
    media: Media = "media" {
        /// Where they are kept, if not in the data folder.
        folder: Option<PathBuf> = Raw::Unset { example: r#""/srv/belfry/media""# },
        /// The largest file.
        upload_mib_max: Whole<1, 102_400> = Raw::Number(100),
        /// What one user may send all together.
        user_mib_max: Option<Whole<1, 1_073_741_824>> = Raw::Unset { example: "10240" },
        /// What all users may send together.
        server_mib_max: Option<Whole<1, 1_073_741_824>> = Raw::Unset { example: "1048576" },
        /// The largest file that is fetched from another server.
        remote_mib_max: Whole<1, 102_400> = Raw::Number(100),
        /// What all files of other servers may take that are kept.
        copies_mib_max: Whole<1, 1_073_741_824> = Raw::Number(10_240),
        /// How long they are kept if nobody looks at them.
        copies_unused_days_max: Whole<1, 36_500> = Raw::Number(30),
        /// Whether files are shown to whoever knows their address.
        without_token: Refusing = Raw::Text("refuse"),
    }

    /// Previews of links.
    previews: Previews = "previews" {
        /// Whether there are any.
        mode: Switch = Raw::Text("off"),
        /// The only hosts whose pages are fetched.
        allowed_hosts: Vec<HostPattern> = Raw::List(&[]),
        /// Hosts whose pages are not.
        denied_hosts: Vec<HostPattern> = Raw::List(&[]),
        /// Private networks whose pages are fetched.
        allow_private_networks: Vec<IpNet> = Raw::List(&[]),
        /// Whose certificates are believed besides those that the system believes.
        authority_files: Vec<PathBuf> = Raw::List(&[]),
    }

    /// Calls.
    turn: Turn = "turn" {
        /// The servers that help calls through firewalls.
        uris: Vec<CallUri> = Raw::List(&[]),
        /// The secret that they share with this one.
        secret_file: Option<PathBuf> =
            Raw::Unset { example: r#""/run/credentials/belfry.service/turn""# },
        /// How long their credentials are good.
        credentials_life_minutes: Whole<1, 10_080> = Raw::Number(1_440),
    }

    /// What is told at well-known addresses.
    well_known: WellKnown = "well_known" {
        /// Where clients reach the server.
        client_base_url: Option<WebUrl> =
            Raw::Unset { example: r#""https://matrix.example.org""# },
        /// Where other servers reach the server.
        server: Option<OwnedServerName> =
            Raw::Unset { example: r#""matrix.example.org:443""# },
        /// A page with help.
        support_page: Option<WebUrl> =
            Raw::Unset { example: r#""https://example.org/help""# },
        /// The administrators' mail address.
        support_email: Option<MailAddress> =
            Raw::Unset { example: r#""help@example.org""# },
        /// An administrator's account.
        support_user: Option<OwnedUserId> =
            Raw::Unset { example: r#""@help:example.org""# },
    }

    /// How often things may happen.
    rate_limits: RateLimits = "rate_limits" {
        /// Per user: events sent.
        message: RateLimit = Raw::Rate { interval_ms: 5_000, burst: 10 },
        /// Per network: accounts made.
        registration: RateLimit = Raw::Rate { interval_ms: 5_882, burst: 3 },
        /// Per network: registration tokens tried.
        registration_token_check: RateLimit = Raw::Rate { interval_ms: 10_000, burst: 5 },
        /// Per network: failed sign-ins.
        login_network: RateLimit = Raw::Rate { interval_ms: 333_333, burst: 5 },
        /// Per account: sign-ins.
        login_account: RateLimit = Raw::Rate { interval_ms: 333_333, burst: 5 },
        /// Per account: wrong passwords.
        login_failed: RateLimit = Raw::Rate { interval_ms: 5_882, burst: 3 },
        /// Per user: rooms made.
        room_creation: RateLimit = Raw::Rate { interval_ms: 62_500, burst: 10 },
        /// Per user: joins of rooms that this server is in.
        join_local: RateLimit = Raw::Rate { interval_ms: 10_000, burst: 10 },
        /// Per room: joins.
        join_room: RateLimit = Raw::Rate { interval_ms: 1_000, burst: 10 },
        /// Per room: invitations.
        invite_room: RateLimit = Raw::Rate { interval_ms: 3_333, burst: 10 },
        /// Per invited user.
        invite_user: RateLimit = Raw::Rate { interval_ms: 333_333, burst: 5 },
        /// Per inviting user.
        invite_issuer: RateLimit = Raw::Rate { interval_ms: 3_333, burst: 10 },
        /// Per user: claims of one-time keys.
        key_claim: RateLimit = Raw::Rate { interval_ms: 50, burst: 100 },
        /// Per user: searches in the user directory.
        user_directory: RateLimit = Raw::Rate { interval_ms: 62_500, burst: 200 },
        /// Per user: reports to the administration.
        report: RateLimit = Raw::Rate { interval_ms: 1_000, burst: 5 },
        /// Per user: presence set.
        presence: RateLimit = Raw::Rate { interval_ms: 10_000, burst: 1 },
        /// Per user: addresses reserved for files.
        media_create: RateLimit = Raw::Rate { interval_ms: 100, burst: 50 },
        /// Per user: files sent.
        media_upload: RateLimit = Raw::Rate { interval_ms: 100, burst: 100 },
        /// Per user: previews of links.
        url_preview: RateLimit = Raw::Rate { interval_ms: 1_000, burst: 50 },
    }

    /// What monitoring is told.
    metrics: Metrics = "metrics" {
        /// Where it asks.
        listen: Vec<SocketAddr> = Raw::List(&[]),
    }

    /// What the log tells.
    log: Log = "log" {
        /// The least important lines that are written.
        level: Level = Raw::Text("info"),
        /// How a line looks.
        format: Format = Raw::Text("text"),
    }

    /// The embedded database.
    storage: Storage = "storage" {
        /// Memory for rows read from disk.
        block_cache_mib: Whole<8, 1_048_576> = Raw::Number(64),
        /// Memory for rows that are not in tables on disk yet.
        write_buffer_mib: Whole<4, 65_536> = Raw::Number(32),
        /// Threads for reads that wait for the disk.
        read_threads: Whole<1, 64> = Raw::Number(4),
        /// Writes are refused while the disk has less free space.
        free_disk_min_mib: Whole<16, 1_048_576> = Raw::Number(512),
    }
}
