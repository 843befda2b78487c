//! Room versions: which rules a room lives by, settled when it was created.
//!
//! It exists so that a version is looked up once and carried as a reference, and so that what
//! ruma's rules leave out (the JSON of versions 3 to 5, the limits of numbers) has a place. It
//! knows nothing of how any rule is applied.

use ruma_common::RoomVersionId;
use ruma_common::room_version_rules::{
    AuthorizationRules, RedactionRules, RoomVersionRules, StateResolutionV2Rules,
};

use crate::hash::Alphabet;

/// Greatest integer of canonical JSON: 2^53 - 1.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// How numbers are read and written in the canonical JSON of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numbers {
    /// Room versions 6 and later: integers of at most 2^53 - 1 either way; a fraction or an
    /// exponent is refused whatever its value. The integer `-0` reads as `0`, so it is never
    /// written: other servers read it so, and the hash of an event does not tell the two apart.
    Strict,
    /// What clients send and we then sign: as `Strict`, but a number whose value is such an
    /// integer is rewritten as one (`1e10`, `1.0`), as in the appendices' example.
    Normalised,
    /// Room versions 3 to 5, whose events were written by what Python's `json` makes of numbers:
    /// integers of any size digit by digit, others as the shortest text of the binary64 value.
    Lax,
}

/// A supported room version and its rules; compare and copy the reference.
#[derive(Debug)]
pub struct RoomRules {
    version: RoomVersionId,
    ruma: RoomVersionRules,
    numbers: Numbers,
    alphabet: Alphabet,
}

static SUPPORTED: [RoomRules; 10] = [
    RoomRules::lax(RoomVersionId::V3, RoomVersionRules::V3, Alphabet::Standard),
    RoomRules::lax(RoomVersionId::V4, RoomVersionRules::V4, Alphabet::UrlSafe),
    RoomRules::lax(RoomVersionId::V5, RoomVersionRules::V5, Alphabet::UrlSafe),
    RoomRules::strict(RoomVersionId::V6, RoomVersionRules::V6),
    RoomRules::strict(RoomVersionId::V7, RoomVersionRules::V7),
    RoomRules::strict(RoomVersionId::V8, RoomVersionRules::V8),
    RoomRules::strict(RoomVersionId::V9, RoomVersionRules::V9),
    RoomRules::strict(RoomVersionId::V10, RoomVersionRules::V10),
    RoomRules::strict(RoomVersionId::V11, RoomVersionRules::V11),
    RoomRules::strict(RoomVersionId::V12, RoomVersionRules::V12),
];

impl RoomRules {
    const fn lax(version: RoomVersionId, ruma: RoomVersionRules, alphabet: Alphabet) -> Self {
        Self {
            version,
            ruma,
            numbers: Numbers::Lax,
            alphabet,
        }
    }

    const fn strict(version: RoomVersionId, ruma: RoomVersionRules) -> Self {
        Self {
            version,
            ruma,
            numbers: Numbers::Strict,
            alphabet: Alphabet::UrlSafe,
        }
    }

    /// The rules of `version`; `None` if it is unknown, or 1 or 2, whose events are not named by
    /// their hash and whose state resolution is unsound.
    pub fn new(version: &RoomVersionId) -> Option<&'static Self> {
        SUPPORTED.iter().find(|rules| rules.version == *version)
    }

    /// Every supported version, oldest first.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        SUPPORTED.iter()
    }

    /// The version that these rules are of.
    pub const fn version(&self) -> &RoomVersionId {
        &self.version
    }

    /// All that ruma knows of the version.
    pub const fn ruma(&self) -> &RoomVersionRules {
        &self.ruma
    }

    /// The authorisation rules' differences.
    pub const fn authorization(&self) -> &AuthorizationRules {
        &self.ruma.authorization
    }

    /// The redaction algorithm's differences.
    pub const fn redaction(&self) -> &RedactionRules {
        &self.ruma.redaction
    }

    /// The state resolution algorithm: version 2.0 or 2.1.
    pub const fn state_resolution(&self) -> &StateResolutionV2Rules {
        match &self.ruma.state_res {
            ruma_common::room_version_rules::StateResolutionVersion::V2(rules) => rules,
            // Not among the supported versions; the test below holds it.
            _ => &StateResolutionV2Rules::V2_0,
        }
    }

    /// How numbers in events are read.
    pub const fn numbers(&self) -> Numbers {
        self.numbers
    }

    /// The alphabet of event IDs.
    pub const fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// Greatest `depth`: what canonical JSON can hold, or 2^63 - 1 before version 6.
    pub const fn depth_max(&self) -> i64 {
        match self.numbers {
            Numbers::Lax => i64::MAX,
            Numbers::Strict | Numbers::Normalised => INTEGER_MAX,
        }
    }

    /// Whether the room ID is the hash of the create event, which then has no `room_id` and is
    /// in no event's `auth_events` (version 12).
    pub const fn room_id_is_hash(&self) -> bool {
        !self.ruma.event_format.require_room_create_room_id
    }

    /// Whether a redaction names its target in `content` (version 11) or beside it.
    pub const fn redacts_in_content(&self) -> bool {
        self.ruma.redaction.content_field_redacts
    }

    /// Whether a key must have been valid when the event was sent (version 5).
    pub const fn enforces_key_validity(&self) -> bool {
        self.ruma.enforce_key_validity
    }
}

impl PartialEq for RoomRules {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for RoomRules {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(version: &str) -> Option<&'static RoomRules> {
        RoomRules::new(&RoomVersionId::try_from(version).unwrap())
    }

    #[test]
    fn versions_3_to_12_are_supported_and_no_others() {
        for version in 3..=12 {
            assert_eq!(
                rules(&version.to_string()).unwrap().version().as_str(),
                version.to_string()
            );
        }
        for version in ["1", "2", "13", "org.example.custom"] {
            assert!(rules(version).is_none(), "{version}");
        }
    }

    #[test]
    fn every_version_resolves_state_by_algorithm_2() {
        for rules in RoomRules::all() {
            let resolution = rules.ruma().state_res.v2_rules();
            assert_eq!(
                Some(rules.state_resolution()),
                resolution,
                "{}",
                rules.version()
            );
        }
    }

    #[test]
    fn our_additions_agree_with_ruma() {
        for rules in RoomRules::all() {
            let strict = rules.authorization().strict_canonical_json;
            assert_eq!(
                rules.numbers() == Numbers::Strict,
                strict,
                "{}",
                rules.version()
            );
            assert!(
                !rules.ruma().event_format.require_event_id,
                "{}",
                rules.version()
            );
        }
    }

    #[test]
    fn version_12_names_the_room_by_its_create_event() {
        assert!(!rules("11").unwrap().room_id_is_hash());
        assert!(rules("12").unwrap().room_id_is_hash());
    }
}
