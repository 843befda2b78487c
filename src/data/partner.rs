//! Agreements with other servers, as administrators set them.
//!
//! Exists so that they outlive a restart. Knows nothing of what they allow.

use belfry_kv::{Commit, Direction, ReadError, Shape, Snapshot, Table, Temperature};
use ruma_common::{OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use crate::{codec::postcard_row, column::ServerKey, tables::ground};

/// Agreements that [`partners`] gives.
pub const PARTNERS_READ_MAX: usize = 10_000;
/// Agreements read at once.
const PAGE: usize = 1_000;

/// An agreement with a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerRow {
    /// What it may ask of us: names of policy's.
    pub inbound: Vec<Box<str>>,
    /// What we may ask of it.
    pub outbound: Vec<Box<str>>,
    /// Why, in the administrator's words.
    pub note: Box<str>,
}
postcard_row!(PartnerRow);

/// By server.
pub(crate) static PARTNER: Table<(ServerKey,), PartnerRow> =
    Table::new(ground(132, "partner", Shape::Scan, Temperature::Cold));

/// Every agreement, by name, at most [`PARTNERS_READ_MAX`].
pub async fn partners(
    snapshot: &dyn Snapshot,
) -> Result<Vec<(OwnedServerName, PartnerRow)>, ReadError> {
    let mut found: Vec<(OwnedServerName, PartnerRow)> = Vec::new();
    while found.len() < PARTNERS_READ_MAX {
        let range = match found.last() {
            Some((server, _)) => PARTNER.range_after(&(), &(ServerKey::from(&**server),)),
            None => PARTNER.whole(),
        };
        let page = PARTNER.scan(snapshot, range, Direction::Forward, PAGE);
        let rows = page.await?.rows;
        let last = rows.len() < PAGE;
        found.extend(rows.into_iter().map(|((server,), row)| (server.0, row)));
        if last {
            break;
        }
    }
    Ok(found)
}

/// Sets the agreement with a server, or ends it. The last to say so wins.
pub fn put_partner(commit: &mut Commit, server: &ServerName, row: Option<&PartnerRow>) {
    let key = (ServerKey::from(server),);
    match row {
        Some(row) => PARTNER.put(commit, &key, row),
        None => PARTNER.delete(commit, &key),
    }
}
