//! How long the installation has lived, remembered over restarts.
//!
//! Exists so that what we hand out expires neither early nor late because a clock was wrong. Knows
//! no clock: `env` tells both times and goes on from what is stored here.

use belfry_kv::{Commit, Keyspace, Kind, ReadError, Shape, Snapshot, Table, Temperature};
use serde::{Deserialize, Serialize};

use crate::codec::postcard_row;

/// An age, and what the wall clock showed when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeRow {
    /// Milliseconds lived.
    pub age_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
}
postcard_row!(AgeRow);

/// The age that was stored last: one row.
pub(crate) static AGE: Table<(), AgeRow> = Table::new(Keyspace {
    name: "age",
    tag: 60,
    shape: Shape::Point,
    temperature: Temperature::Hot,
    kind: Kind::Ground,
    row_version: 1,
});

/// The age that was stored last; `None` if none ever was.
pub async fn age(snapshot: &dyn Snapshot) -> Result<Option<AgeRow>, ReadError> {
    AGE.get(snapshot, &()).await
}

/// Stores the age. One process has the database open, so that nothing needs to be checked.
pub fn store_age(commit: &mut Commit, row: &AgeRow) {
    AGE.put(commit, &(), row);
}

#[cfg(test)]
mod tests {
    use belfry_kv::{Engine as _, Memory, RowCodec as _};

    use super::*;

    const ROW: AgeRow = AgeRow {
        age_ms: 300,
        wall_ms: 1_700_000_000_000,
    };

    #[tokio::test]
    async fn what_was_stored_last_is_read() {
        let engine = Memory::default();
        for age_ms in [1, 2, ROW.age_ms] {
            let mut commit = Commit::synced();
            store_age(&mut commit, &AgeRow { age_ms, ..ROW });
            engine.commit(commit).await.unwrap();
        }
        let snapshot = engine.snapshot().await.unwrap();
        assert_eq!(age(&*snapshot).await.unwrap(), Some(ROW));
    }

    #[tokio::test]
    async fn a_new_database_has_no_age() {
        let snapshot = Memory::default().snapshot().await.unwrap();
        assert_eq!(age(&*snapshot).await.unwrap(), None);
    }

    #[test]
    fn golden_bytes() {
        let mut bytes = Vec::new();
        ROW.encode(&mut bytes);
        assert_eq!(bytes, [0xac, 0x02, 0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31]);
        assert_eq!(AgeRow::decode(1, &bytes).unwrap(), ROW);
        assert!(AgeRow::decode(2, &bytes).is_err());
    }
}
