//! How columns become key bytes that sort as the columns do, and how rows become values.
//!
//! Exists so that nobody glues keys together by hand. Knows no table and no engine.
//!
//! Every column's encoding is *prefix-free*: none is a prefix of another of the same type. So a
//! key is just its columns one after the other, tuples sort column by column, and the keys that
//! share their leading columns are exactly those that start with the same bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    contract::ReadError,
    key::{Key, POSITION_BYTES, Position, STAMP_BYTES, Stamp},
};

/// Ends a column of variable length. Sorts before all that [`ESCAPE`] starts.
const END: u8 = 0x00;
/// Stands before the escaped form of the two lowest bytes.
const ESCAPE: u8 = 0x01;
/// What follows [`ESCAPE`] for a byte 0x00.
const ESCAPED_ZERO: u8 = 0x01;
/// What follows [`ESCAPE`] for a byte 0x01.
const ESCAPED_ONE: u8 = 0x02;

/// A type that can be a key's column, or a whole key. Order of the encodings is the order of the
/// values (`Ord`), and no encoding is a prefix of another.
///
/// A type of one's own is best built of those here:
/// `fn encode(&self, out: &mut KeyWriter) { self.0.encode(out); }`.
pub trait KeyCodec: Sized {
    /// Appends the column.
    fn encode(&self, out: &mut KeyWriter);

    /// Reads what [`Self::encode`] wrote and nothing behind it.
    /// Anything that `encode` does not write is [`ReadError::Corrupt`].
    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError>;
}

/// The leading columns of a key of type `K`: `(Room,)` and `(Room, Depth)` for
/// `(Room, Depth, Stamp)`. Every key is a prefix of itself, `()` one of every tuple.
pub trait KeyPrefix<K> {
    /// Appends the columns as `K` would.
    fn encode_prefix(&self, out: &mut KeyWriter);
}

impl<K: KeyCodec> KeyPrefix<K> for K {
    fn encode_prefix(&self, out: &mut KeyWriter) {
        self.encode(out);
    }
}

/// A key whose last column is the [`Stamp`] that [`crate::Write::Append`] adds.
pub trait LogKey: KeyCodec {
    /// The columns before the stamp.
    type Prefix: KeyPrefix<Self>;
}

/// A row of a table. The table layer writes [`Self::VERSION`] before the row and hands the stored
/// one to [`Self::decode`], so that rows of older versions stay readable.
pub trait RowCodec: Sized {
    /// What [`Self::encode`] writes; the same number as the keyspace's `row_version`.
    const VERSION: u8;

    /// Appends the row. Equal rows give equal bytes: checks compare bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a row of any version that may still be stored.
    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError>;
}

/// For tables whose keys say it all.
impl RowCodec for () {
    const VERSION: u8 = 1;

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
        if version == Self::VERSION && bytes.is_empty() {
            Ok(())
        } else {
            Err(ReadError::corrupt("a row that has no columns holds bytes"))
        }
    }
}

/// A key under construction.
#[derive(Debug, Clone)]
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    /// A key of the keyspace with this tag.
    pub fn new(tag: u8) -> Self {
        Self(vec![tag])
    }

    /// Appends bytes as they are. For columns of one fixed length only.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends bytes of any length, and their end: 0x00 as 0x01 0x01, 0x01 as 0x01 0x02, then
    /// 0x00.
    pub fn variable(&mut self, mut bytes: &[u8]) {
        while let Some(at) = bytes.iter().position(|byte| *byte <= ESCAPE) {
            let (plain, rest) = bytes.split_at(at);
            self.0.extend_from_slice(plain);
            let low = if rest.first() == Some(&0) {
                ESCAPED_ZERO
            } else {
                ESCAPED_ONE
            };
            self.0.extend_from_slice(&[ESCAPE, low]);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.0.extend_from_slice(bytes);
        self.0.push(END);
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key::new(self.0)
    }
}

/// What is left to read of a key's columns.
#[derive(Debug, Clone)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// Reads [`Key::columns`].
    pub fn new(columns: &'a [u8]) -> Self {
        Self(columns)
    }

    /// The next `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| ReadError::corrupt("a key ends within a column"))?;
        self.0 = rest;
        Ok(*head)
    }

    /// The bytes that [`KeyWriter::variable`] wrote.
    pub fn variable(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut out = Vec::new();
        loop {
            let at = self
                .0
                .iter()
                .position(|byte| *byte <= ESCAPE)
                .ok_or_else(|| ReadError::corrupt("a key's column has no end"))?;
            out.extend_from_slice(&self.0[..at]);
            match &self.0[at..] {
                [END, rest @ ..] => {
                    self.0 = rest;
                    return Ok(out);
                }
                [ESCAPE, low @ (ESCAPED_ZERO | ESCAPED_ONE), rest @ ..] => {
                    out.push(low - ESCAPED_ZERO);
                    self.0 = rest;
                }
                _ => return Err(ReadError::corrupt("a key's column has a wrong escape")),
            }
        }
    }

    /// Refuses bytes behind the last column.
    pub fn finish(self) -> Result<(), ReadError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ReadError::corrupt("a key has bytes behind its last column"))
        }
    }
}

macro_rules! unsigned_columns {
    ($($number:ty),*) => {$(
        /// Big-endian.
        impl KeyCodec for $number {
            fn encode(&self, out: &mut KeyWriter) {
                out.fixed(&self.to_be_bytes());
            }

            fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
                input.fixed().map(Self::from_be_bytes)
            }
        }
    )*};
}

unsigned_columns!(u8, u16, u32, u64, u128);

/// Big-endian with the sign bit flipped, so that negative numbers come first.
impl KeyCodec for i64 {
    fn encode(&self, out: &mut KeyWriter) {
        (self.cast_unsigned() ^ (1 << 63)).encode(out);
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        u64::decode(input).map(|number| (number ^ (1 << 63)).cast_signed())
    }
}

impl KeyCodec for bool {
    fn encode(&self, out: &mut KeyWriter) {
        u8::from(*self).encode(out);
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ReadError::corrupt("a key's flag is neither 0 nor 1")),
        }
    }
}

impl<const N: usize> KeyCodec for [u8; N] {
    fn encode(&self, out: &mut KeyWriter) {
        out.fixed(self);
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        input.fixed()
    }
}

impl KeyCodec for Vec<u8> {
    fn encode(&self, out: &mut KeyWriter) {
        out.variable(self);
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        input.variable()
    }
}

impl KeyCodec for Bytes {
    fn encode(&self, out: &mut KeyWriter) {
        out.variable(self);
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        input.variable().map(Self::from)
    }
}

/// By its UTF-8 bytes, whose order is that of `str`.
impl KeyCodec for String {
    fn encode(&self, out: &mut KeyWriter) {
        out.variable(self.as_bytes());
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        Self::from_utf8(input.variable()?)
            .map_err(|_| ReadError::corrupt("a key's text is not UTF-8"))
    }
}

/// As `String`; cheap to clone.
impl KeyCodec for Arc<str> {
    fn encode(&self, out: &mut KeyWriter) {
        out.variable(self.as_bytes());
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        String::decode(input).map(Self::from)
    }
}

impl KeyCodec for Position {
    fn encode(&self, out: &mut KeyWriter) {
        out.fixed(&self.to_bytes());
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        input.fixed::<POSITION_BYTES>().map(Self::from_bytes)
    }
}

impl KeyCodec for Stamp {
    fn encode(&self, out: &mut KeyWriter) {
        out.fixed(&self.to_bytes());
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        input.fixed::<STAMP_BYTES>().map(Self::from_bytes)
    }
}

/// `None` first.
impl<T: KeyCodec> KeyCodec for Option<T> {
    fn encode(&self, out: &mut KeyWriter) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        if bool::decode(input)? {
            T::decode(input).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// The key of a table with one row.
impl KeyCodec for () {
    fn encode(&self, _: &mut KeyWriter) {}

    fn decode(_: &mut KeyReader<'_>) -> Result<Self, ReadError> {
        Ok(())
    }
}

macro_rules! tuple_key {
    ($($column:ident)+) => {
        impl<$($column: KeyCodec),+> KeyCodec for ($($column,)+) {
            fn encode(&self, out: &mut KeyWriter) {
                #[expect(non_snake_case, reason = "one name for a column and its type")]
                let ($($column,)+) = self;
                $($column.encode(out);)+
            }

            fn decode(input: &mut KeyReader<'_>) -> Result<Self, ReadError> {
                Ok(($($column::decode(input)?,)+))
            }
        }

        impl<$($column: KeyCodec),+> KeyPrefix<($($column,)+)> for () {
            fn encode_prefix(&self, _: &mut KeyWriter) {}
        }
    };
}

tuple_key!(A);
tuple_key!(A B);
tuple_key!(A B C);
tuple_key!(A B C D);
tuple_key!(A B C D E);
tuple_key!(A B C D E F);

macro_rules! tuple_prefix {
    ($($head:ident)+ : $($tail:ident)+) => {
        impl<$($head: KeyCodec,)+ $($tail: KeyCodec),+> KeyPrefix<($($head,)+ $($tail,)+)>
            for ($($head,)+)
        {
            fn encode_prefix(&self, out: &mut KeyWriter) {
                self.encode(out);
            }
        }
    };
}

tuple_prefix!(A : B);
tuple_prefix!(A : B C);
tuple_prefix!(A : B C D);
tuple_prefix!(A : B C D E);
tuple_prefix!(A : B C D E F);
tuple_prefix!(A B : C);
tuple_prefix!(A B : C D);
tuple_prefix!(A B : C D E);
tuple_prefix!(A B : C D E F);
tuple_prefix!(A B C : D);
tuple_prefix!(A B C : D E);
tuple_prefix!(A B C : D E F);
tuple_prefix!(A B C D : E);
tuple_prefix!(A B C D : E F);
tuple_prefix!(A B C D E : F);

impl KeyPrefix<Stamp> for () {
    fn encode_prefix(&self, _: &mut KeyWriter) {}
}

impl LogKey for Stamp {
    type Prefix = ();
}

macro_rules! log_key {
    ($($head:ident)*) => {
        impl<$($head: KeyCodec),*> LogKey for ($($head,)* Stamp,) {
            type Prefix = ($($head,)*);
        }
    };
}

log_key!();
log_key!(A);
log_key!(A B);
log_key!(A B C);
log_key!(A B C D);
log_key!(A B C D E);
