//! Key columns made of Matrix identifiers, and hashes that stand for long ones.
//!
//! Exists so that an identifier in a key is one when it is read again. Escaped text, not numbers:
//! see `docs/adr/0005-event-references.md`. Knows no table.

use belfry_kv::{KeyCodec, KeyReader, KeyWriter, ReadError};
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use sha2::{Digest, Sha256};

macro_rules! id_column {
    ($(#[$doc:meta])* $column:ident, $owned:ty, $borrowed:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $column(pub(crate) $owned);

        impl From<&$borrowed> for $column {
            fn from(id: &$borrowed) -> Self {
                Self(id.to_owned())
            }
        }

        impl KeyCodec for $column {
            fn encode(&self, out: &mut KeyWriter) {
                out.variable(self.0.as_bytes());
            }

            fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
                <$owned>::try_from(String::decode(input)?)
                    .map(Self)
                    .map_err(|_| ReadError::corrupt("a key holds no identifier where one belongs"))
            }
        }
    };
}

id_column!(
    /// A room ID.
    RoomKey,
    OwnedRoomId,
    RoomId
);
id_column!(
    /// A user ID.
    UserKey,
    OwnedUserId,
    UserId
);
id_column!(
    /// A server name.
    ServerKey,
    OwnedServerName,
    ServerName
);

/// Bytes of a [`digest`].
pub(crate) const DIGEST_BYTES: usize = 16;

/// Stands for texts that a client or a server chose, which may be long. Whoever finds two texts
/// with one digest confuses only its own rows.
pub(crate) fn digest(parts: &[&str]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let whole: [u8; 32] = hash.finalize().into();
    let mut head = [0; DIGEST_BYTES];
    head.copy_from_slice(&whole[..DIGEST_BYTES]);
    head
}

#[cfg(test)]
mod tests {
    use ruma_common::room_id;

    use super::*;

    #[test]
    fn a_room_key_reads_back() {
        let column = RoomKey::from(room_id!("!a:example.org"));
        let mut out = KeyWriter::new(1);
        column.encode(&mut out);
        let key = out.finish();
        let back = RoomKey::decode(&mut KeyReader::new(key.columns()));
        assert_eq!(back, Ok(column));
    }

    #[test]
    fn a_key_that_holds_no_room_id_is_damage() {
        let mut out = KeyWriter::new(1);
        "example.org".to_owned().encode(&mut out);
        let key = out.finish();
        let back = RoomKey::decode(&mut KeyReader::new(key.columns()));
        assert!(matches!(back, Err(ReadError::Corrupt(_))), "{back:?}");
    }

    #[test]
    fn a_digest_tells_where_a_part_ends() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&["ab", "c"]), digest(&["ab", "c"]));
    }
}
