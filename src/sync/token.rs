//! Opaque tokens: places in the server's order and in a room's timeline, as clients carry them.
//!
//! It exists so that positions never leave the server as numbers, and so that a token of another
//! history of the database (a restored backup, another server) is refused instead of being taken
//! for a place that it is not. It knows nothing of what is read from a place on.
//!
//! A token is unpadded URL-safe base64 of: a format byte, [`INCARNATION_BYTES`] of the database's
//! incarnation, for timeline points the depth, then position and ordinal. Numbers are LEB128, the
//! depth zigzag-coded before, the ordinal one greater (modulo 2^16), so that the usual «behind the
//! whole commit» takes one byte.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use belfry_data::{Position, Stamp, TimelinePoint};
use serde::{Serialize, de::DeserializeOwned};

/// Longest token that is looked at, in characters.
pub const TOKEN_BYTES_MAX: usize = 64;

/// How many bytes of the incarnation a token carries.
const INCARNATION_BYTES: usize = 6;

const FORMAT_SYNC: u8 = 1;
const FORMAT_TIMELINE: u8 = 2;
/// As [`FORMAT_SYNC`], with a second place, up to which messages to the device were told.
const FORMAT_LAGGING: u8 = 3;

/// An answer of a sliding connection, by number, and up to where it looked.
const FORMAT_SLIDING: u8 = 4;

/// Longest token of a list, in characters: a room ID and some more, in base64.
const LIST_TOKEN_BYTES_MAX: usize = 512;

/// Lists whose tokens are places of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum List {
    /// A space and the rooms below it.
    Hierarchy = 16,
    /// Published rooms.
    PublicRooms = 17,
    /// Rooms that two users are in.
    MutualRooms = 18,
    /// What somebody was notified of.
    Notifications = 20,
}

/// Why a token names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// This server never wrote such a token.
    #[error("the token is not one of this server's; leave it out to start anew")]
    Malformed,
    /// It is of another history of the database, as after restoring a backup.
    #[error("the token is older than the database; leave it out to start anew")]
    OtherDatabase,
}

/// A place that a token names: what comes behind it has not been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the server's order: `next_batch` of `/sync`.
    Sync(Stamp),
    /// In a room's timeline: `prev_batch`, `start`, `end`.
    Timeline(TimelinePoint),
}

/// Writes and reads the tokens of one history of one database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    incarnation: [u8; INCARNATION_BYTES],
}

impl Tokens {
    pub(crate) fn new(incarnation: [u8; 16]) -> Self {
        let mut head = [0; INCARNATION_BYTES];
        head.copy_from_slice(&incarnation[..INCARNATION_BYTES]);
        Self { incarnation: head }
    }

    /// The token of a place in the server's order.
    pub(crate) fn sync(self, at: Stamp) -> String {
        let mut bytes = self.begin(FORMAT_SYNC);
        put_stamp(&mut bytes, at);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The token of a place in the server's order for a device that got its messages only up to
    /// another place.
    pub(crate) fn lagging(self, at: Stamp, to_device: Stamp) -> String {
        let mut bytes = self.begin(FORMAT_LAGGING);
        put_stamp(&mut bytes, at);
        put_stamp(&mut bytes, to_device);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Up to where the device has got its messages by this `since`.
    pub(crate) fn to_device(self, token: &str) -> Result<Stamp, TokenError> {
        let at = self.since(token)?;
        let bytes = URL_SAFE_NO_PAD.decode(token);
        let bytes = bytes.map_err(|_| TokenError::Malformed)?;
        let mut rest = &*bytes;
        if take::<1>(&mut rest)? != [FORMAT_LAGGING] {
            return Ok(at);
        }
        take::<INCARNATION_BYTES>(&mut rest)?;
        take_stamp(&mut rest)?;
        take_stamp(&mut rest)
    }

    /// The token of an answer of a sliding connection: where its tokens are taken for places, it is
    /// one in the server's order.
    pub(crate) fn sliding(self, answer: u64, at: Stamp) -> String {
        let mut bytes = self.begin(FORMAT_SLIDING);
        put(&mut bytes, u128::from(answer));
        put_stamp(&mut bytes, at);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The number of the answer that a `pos` names.
    pub(crate) fn answer(self, token: &str) -> Result<u64, TokenError> {
        self.since(token)?;
        let bytes = URL_SAFE_NO_PAD.decode(token);
        let bytes = bytes.map_err(|_| TokenError::Malformed)?;
        let mut rest = &*bytes;
        if take::<1>(&mut rest)? != [FORMAT_SLIDING] {
            return Err(TokenError::Malformed);
        }
        take::<INCARNATION_BYTES>(&mut rest)?;
        u64::try_from(take_number(&mut rest)?).map_err(|_| TokenError::Malformed)
    }

    /// The token of a place in a room's timeline.
    pub(crate) fn timeline(self, at: TimelinePoint) -> String {
        let mut bytes = self.begin(FORMAT_TIMELINE);
        put(&mut bytes, u128::from(zigzag(at.depth)));
        put_stamp(&mut bytes, at.stamp);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a token names.
    pub(crate) fn place(self, token: &str) -> Result<Place, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token);
        let bytes = bytes.map_err(|_| TokenError::Malformed)?;
        let mut rest = &*bytes;
        let format = take::<1>(&mut rest)?;
        let incarnation = take::<INCARNATION_BYTES>(&mut rest)?;
        let place = match format {
            [FORMAT_SYNC] => Place::Sync(take_stamp(&mut rest)?),
            [FORMAT_LAGGING] => {
                let at = take_stamp(&mut rest)?;
                take_stamp(&mut rest)?;
                Place::Sync(at)
            }
            [FORMAT_SLIDING] => {
                take_number(&mut rest)?;
                Place::Sync(take_stamp(&mut rest)?)
            }
            [FORMAT_TIMELINE] => Place::Timeline(TimelinePoint {
                depth: take_depth(&mut rest)?,
                stamp: take_stamp(&mut rest)?,
            }),
            _ => return Err(TokenError::Malformed),
        };
        if !rest.is_empty() {
            return Err(TokenError::Malformed);
        }
        if incarnation != self.incarnation {
            return Err(TokenError::OtherDatabase);
        }
        Ok(place)
    }

    /// The token of a place in a list, whatever that is there.
    pub(crate) fn list<T: Serialize>(self, list: List, place: &T) -> String {
        let mut bytes = self.begin(list as u8);
        // Numbers, flags and identifiers are always JSON.
        bytes.extend(serde_json::to_vec(place).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place in a list that a token names.
    pub(crate) fn list_place<T: DeserializeOwned>(
        self,
        list: List,
        token: &str,
    ) -> Result<T, TokenError> {
        if token.len() > LIST_TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token);
        let bytes = bytes.map_err(|_| TokenError::Malformed)?;
        let mut rest = &*bytes;
        let format = take::<1>(&mut rest)?;
        let incarnation = take::<INCARNATION_BYTES>(&mut rest)?;
        let place = serde_json::from_slice(rest).map_err(|_| TokenError::Malformed)?;
        if format != [list as u8] {
            return Err(TokenError::Malformed);
        }
        if incarnation != self.incarnation {
            return Err(TokenError::OtherDatabase);
        }
        Ok(place)
    }

    /// The place of a `since`.
    pub(crate) fn since(self, token: &str) -> Result<Stamp, TokenError> {
        match self.place(token)? {
            Place::Sync(stamp) => Ok(stamp),
            Place::Timeline(_) => Err(TokenError::Malformed),
        }
    }

    fn begin(self, format: u8) -> Vec<u8> {
        let mut bytes = vec![format];
        bytes.extend_from_slice(&self.incarnation);
        bytes
    }
}

fn put_stamp(bytes: &mut Vec<u8>, at: Stamp) {
    put(bytes, at.position.number());
    put(bytes, u128::from(at.ordinal.wrapping_add(1)));
}

fn take_stamp(rest: &mut &[u8]) -> Result<Stamp, TokenError> {
    let position = Position::new(take_number(rest)?).ok_or(TokenError::Malformed)?;
    let ordinal = u16::try_from(take_number(rest)?).map_err(|_| TokenError::Malformed)?;
    Ok(Stamp {
        position,
        ordinal: ordinal.wrapping_sub(1),
    })
}

fn take_depth(rest: &mut &[u8]) -> Result<i64, TokenError> {
    let folded = u64::try_from(take_number(rest)?).map_err(|_| TokenError::Malformed)?;
    Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take_number(rest: &mut &[u8]) -> Result<u128, TokenError> {
    let mut number = 0;
    for shift in (0..u128::BITS).step_by(7) {
        let [byte] = take::<1>(rest)?;
        let part = u128::from(byte & 0x7f);
        let shifted = part << shift;
        if shifted >> shift != part {
            break;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(TokenError::Malformed)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TokenError> {
    let (head, tail) = rest.split_first_chunk().ok_or(TokenError::Malformed)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCARNATION: [u8; 16] = [9; 16];

    fn stamp(position: u128, ordinal: u16) -> Stamp {
        Stamp {
            position: Position::new(position).unwrap(),
            ordinal,
        }
    }

    fn stamps() -> Vec<Stamp> {
        let mut stamps = Vec::new();
        for ordinal in [0, 1, 127, 128, u16::MAX - 1, u16::MAX] {
            for position in [0, 1, 127, 128, 1 << 40, Position::MAX.number()] {
                stamps.push(stamp(position, ordinal));
            }
        }
        stamps
    }

    #[test]
    fn sync_tokens_read_back_and_are_short() {
        let tokens = Tokens::new(INCARNATION);
        for at in stamps() {
            let token = tokens.sync(at);
            assert_eq!(tokens.since(&token), Ok(at));
            assert!(token.len() <= 32, "{token}");
        }
        assert!(tokens.sync(stamp(1_000_000, u16::MAX)).len() <= 16);
    }

    #[test]
    fn lagging_tokens_have_two_places() {
        let tokens = Tokens::new(INCARNATION);
        let token = tokens.lagging(stamp(9, 1), stamp(5, 2));
        assert_eq!(tokens.since(&token), Ok(stamp(9, 1)));
        assert_eq!(tokens.to_device(&token), Ok(stamp(5, 2)));
        let token = tokens.sync(stamp(9, 1));
        assert_eq!(tokens.to_device(&token), Ok(stamp(9, 1)));
        let last = stamp(Position::MAX.number(), u16::MAX);
        assert!(tokens.lagging(last, last).len() <= TOKEN_BYTES_MAX);
    }

    #[test]
    fn timeline_tokens_read_back() {
        let tokens = Tokens::new(INCARNATION);
        for stamp in stamps() {
            for depth in [i64::MIN, -1, 0, 1, 1 << 53, i64::MAX] {
                let point = TimelinePoint { depth, stamp };
                let token = tokens.timeline(point);
                assert!(token.len() <= TOKEN_BYTES_MAX, "{token}");
                assert_eq!(tokens.place(&token), Ok(Place::Timeline(point)));
                assert_eq!(tokens.since(&token), Err(TokenError::Malformed));
            }
        }
    }

    #[test]
    fn tokens_need_no_escaping_in_a_query() {
        let token = Tokens::new([0xfb; 16]).sync(stamp(u128::from(u64::MAX), 7));
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(token.bytes().all(safe), "{token}");
    }

    #[test]
    fn token_of_another_history_is_told_apart() {
        let token = Tokens::new([1; 16]).sync(stamp(5, 0));
        let restored = Tokens::new([2; 16]);
        assert_eq!(restored.since(&token), Err(TokenError::OtherDatabase));
    }

    #[test]
    fn list_tokens_are_of_one_list() {
        let tokens = Tokens::new(INCARNATION);
        let place = (5_u32, format!("!{}", "a".repeat(254)));
        let token = tokens.list(List::PublicRooms, &place);
        assert!(token.len() <= LIST_TOKEN_BYTES_MAX);
        assert_eq!(tokens.list_place(List::PublicRooms, &token), Ok(place));
        let read = |list, token: &str| tokens.list_place::<(u32, String)>(list, token);
        let malformed = Err(TokenError::Malformed);
        assert_eq!(read(List::Hierarchy, &token), malformed);
        assert_eq!(
            read(List::PublicRooms, &tokens.sync(stamp(5, 0))),
            malformed
        );
        assert_eq!(read(List::PublicRooms, &"A".repeat(600)), malformed);
        let other = Tokens::new([1; 16]).list(List::PublicRooms, &(5, ""));
        let refused = Err(TokenError::OtherDatabase);
        assert_eq!(read(List::PublicRooms, &other), refused);
    }

    #[test]
    fn anything_else_is_malformed() {
        let tokens = Tokens::new(INCARNATION);
        let good = tokens.sync(stamp(300, 2));
        let longer = format!("{good}AA");
        let shorter = good.get(..good.len() - 2).unwrap();
        let endless = format!("{}{}", good.get(..9).unwrap(), "_".repeat(40));
        let ancient = "s72594_4483_1934";
        let huge = "A".repeat(TOKEN_BYTES_MAX + 1);
        for token in [
            "", "A", "0", "ä", "=", ancient, &longer, shorter, &endless, &huge,
        ] {
            assert_eq!(tokens.since(token), Err(TokenError::Malformed), "{token}");
        }
    }
}
