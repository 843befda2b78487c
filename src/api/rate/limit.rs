//! The limits by name, each with the numbers that the field has settled on.

use std::{collections::BTreeMap, time::Duration};

use super::bucket::Rate;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $interval_ms:literal ms, $burst:literal;)+) => {
        /// What is limited. The name is the configuration key below `rate_limits`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Limit {
            /// Every limit, in the order of the configuration file.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The configuration key.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What applies unless the configuration says otherwise.
            pub fn field_default(self) -> Rate {
                match self {
                    $(Self::$variant => Rate::every(Duration::from_millis($interval_ms), $burst),)+
                }
            }
        }
    };
}

limits! {
    /// Per user: events sent. 0.2 a second, 10 at once.
    Message = "message", 5_000 ms, 10;
    /// Per network: accounts made. 0.17 a second, 3 at once.
    Registration = "registration", 5_882 ms, 3;
    /// Per network: is this registration token good? 0.1 a second, 5 at once.
    RegistrationTokenCheck = "registration_token_check", 10_000 ms, 5;
    /// Per network: sign-ins that failed. 0.003 a second, 5 at once. Those that succeed are not
    /// counted here, so that a town hall behind one address is not locked out on a Monday.
    LoginNetwork = "login_network", 333_333 ms, 5;
    /// Per account: sign-ins, successful or not. 0.003 a second, 5 at once.
    LoginAccount = "login_account", 333_333 ms, 5;
    /// Per account: wrong passwords, from wherever. 0.17 a second, 3 at once.
    LoginFailed = "login_failed", 5_882 ms, 3;
    /// Per user: rooms created. 0.016 a second, 10 at once.
    RoomCreation = "room_creation", 62_500 ms, 10;
    /// Per user: joins of rooms that the server is in. 0.1 a second, 10 at once.
    JoinLocal = "join_local", 10_000 ms, 10;
    /// Per user: joins of rooms that it is not in. 0.01 a second, 10 at once.
    JoinRemote = "join_remote", 100_000 ms, 10;
    /// Per room: joins. 1 a second, 10 at once.
    JoinRoom = "join_room", 1_000 ms, 10;
    /// Per room: invites. 0.3 a second, 10 at once.
    InviteRoom = "invite_room", 3_333 ms, 10;
    /// Per invited user: 0.003 a second, 5 at once.
    InviteUser = "invite_user", 333_333 ms, 5;
    /// Per inviting user: 0.3 a second, 10 at once.
    InviteIssuer = "invite_issuer", 3_333 ms, 10;
    /// Per user: claims of one-time keys. 20 a second, 100 at once.
    KeyClaim = "key_claim", 50 ms, 100;
    /// Per user: searches in the user directory. 0.016 a second, 200 at once.
    UserDirectory = "user_directory", 62_500 ms, 200;
    /// Per user: reports to the moderators. 1 a second, 5 at once.
    Report = "report", 1_000 ms, 5;
    /// Per user: presence set. 0.1 a second, 1 at once.
    Presence = "presence", 10_000 ms, 1;
    /// Per user: media identifiers reserved. 10 a second, 50 at once.
    MediaCreate = "media_create", 100 ms, 50;
    /// Per user: files uploaded. 10 a second, 100 at once, which is an album.
    MediaUpload = "media_upload", 100 ms, 100;
    /// Per user: previews of links. 1 a second, 50 at once, which is a room full of links.
    UrlPreview = "url_preview", 1_000 ms, 50;
}

/// Which limits apply, and how strict each is. One that is absent is switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateOptions(BTreeMap<Limit, Rate>);

impl RateOptions {
    /// Every limit with [`Limit::field_default`].
    pub fn field_defaults() -> Self {
        Self(
            Limit::ALL
                .iter()
                .map(|limit| (*limit, limit.field_default()))
                .collect(),
        )
    }

    /// Changes one limit; `None` switches it off.
    pub fn set(&mut self, limit: Limit, rate: Option<Rate>) {
        match rate {
            Some(rate) => self.0.insert(limit, rate),
            None => self.0.remove(&limit),
        };
    }

    /// The limits that are on.
    pub fn rates(&self) -> impl Iterator<Item = (Limit, Rate)> + '_ {
        self.0.iter().map(|(limit, rate)| (*limit, *rate))
    }
}
