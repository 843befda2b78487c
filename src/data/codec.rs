//! Rows as postcard: compact, deterministic, documented, and the same on every machine.
//!
//! Exists so that a row type is a plain struct. Chosen by measurement, see
//! `docs/adr/0006-row-codec.md`. A struct is never changed once released: a new shape is a new
//! version with a new struct, and `decode` turns the older one into it. Golden bytes hold that.

use belfry_kv::ReadError;
use serde::{Serialize, de::DeserializeOwned};

/// Appends the row.
pub(crate) fn encode(row: &impl Serialize, out: &mut Vec<u8>) {
    let start = std::mem::take(out);
    *out = postcard::to_extend(row, start).expect("no row has a sequence of unknown length");
}

/// Reads a row of one known version, all of it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    match postcard::take_from_bytes(bytes) {
        Ok((row, [])) => Ok(row),
        Ok(_) => Err(ReadError::corrupt("a row has bytes behind its end")),
        Err(error) => Err(ReadError::Corrupt(format!(
            "a row does not decode: {error}"
        ))),
    }
}

/// What to answer for a version that this build does not know.
pub(crate) fn unknown_version(version: u8) -> ReadError {
    ReadError::Corrupt(format!("a row has the unknown version {version}"))
}

/// A row type that has had one version so far.
macro_rules! postcard_row {
    ($row:ty) => {
        impl belfry_kv::RowCodec for $row {
            const VERSION: u8 = 1;

            fn encode(&self, out: &mut Vec<u8>) {
                $crate::codec::encode(self, out);
            }

            fn decode(version: u8, bytes: &[u8]) -> Result<Self, belfry_kv::ReadError> {
                match version {
                    1 => $crate::codec::decode(bytes),
                    other => Err($crate::codec::unknown_version(other)),
                }
            }
        }
    };
}

pub(crate) use postcard_row;
