//! Agreements with other servers: what each may ask of us, and we of it, as administrators set it
//! while the server runs.
//!
//! An agreement is in force once it is on disk. Knows nothing of how policy decides by it, nor of
//! HTTP.

use std::collections::BTreeSet;

use belfry_data::{Commit, PartnerRow, ReadError, partners, put_partner};
use belfry_policy::{Action, Denial, PARTNERS_MAX, Purpose, ServerRights};
use ruma_common::{OwnedServerName, ServerName};
use serde_json::Value;

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Longest note on an agreement.
pub const PARTNER_NOTE_BYTES_MAX: usize = 1_024;

/// An agreement with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// What it may ask of us, and we of it.
    pub rights: ServerRights,
    /// Why, in the administrator's words.
    pub note: String,
}

/// Why an agreement was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartnerError {
    /// This server itself.
    #[error("name another server than this one")]
    OwnServer,
    /// More than [`PARTNERS_MAX`].
    #[error("there are {PARTNERS_MAX} agreements; end one of them first")]
    TooMany,
    /// Beyond [`PARTNER_NOTE_BYTES_MAX`].
    #[error("the note is longer than {PARTNER_NOTE_BYTES_MAX} bytes")]
    NoteTooLong,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for PartnerError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// Brings the agreements that are stored into force. Called once, before anybody is spoken to.
    pub async fn load_partners(&self) -> Result<(), Fault> {
        let snapshot = self.0.store.snapshot().await?;
        for (server, row) in partners(&*snapshot).await? {
            self.0.rules.partners.set(&server, Some(rights(&row)));
        }
        Ok(())
    }

    /// Every agreement, by name, for administrators.
    pub async fn partners(
        &self,
        requester: &Requester,
    ) -> Result<Vec<(OwnedServerName, Partner)>, PartnerError> {
        self.allow(requester, Action::Administer)?;
        let snapshot = self.0.store.snapshot().await?;
        let rows = partners(&*snapshot).await?.into_iter();
        let partner = |row: PartnerRow| Partner {
            rights: rights(&row),
            note: row.note.into(),
        };
        Ok(rows.map(|(server, row)| (server, partner(row))).collect())
    }

    /// Sets the agreement with a server, or ends it (`None`), which leaves it what every server may
    /// do. In force for whatever is decided from then on.
    pub async fn set_partner(
        &self,
        requester: &Requester,
        server: &ServerName,
        partner: Option<&Partner>,
    ) -> Result<(), PartnerError> {
        self.allow(requester, Action::Administer)?;
        if server == self.0.options.server_name {
            return Err(PartnerError::OwnServer);
        }
        if partner.is_some_and(|partner| partner.note.len() > PARTNER_NOTE_BYTES_MAX) {
            return Err(PartnerError::NoteTooLong);
        }
        let held = &self.0.rules.partners;
        if partner.is_some() && held.of(server).is_none() && held.all().len() >= PARTNERS_MAX {
            return Err(PartnerError::TooMany);
        }
        let mut commit = Commit::synced();
        put_partner(&mut commit, server, partner.map(row).as_ref());
        self.0.store.commit(commit, &mut Tries::default()).await?;
        let rights = partner.map(|partner| partner.rights.clone());
        if held.set(server, rights) {
            Ok(())
        } else {
            Err(PartnerError::TooMany)
        }
    }
}

fn row(partner: &Partner) -> PartnerRow {
    let names = |purposes: &BTreeSet<Purpose>| purposes.iter().copied().filter_map(name).collect();
    PartnerRow {
        inbound: names(&partner.rights.inbound),
        outbound: names(&partner.rights.outbound),
        note: partner.note.as_str().into(),
    }
}

/// A purpose as it is written in rules.
fn name(purpose: Purpose) -> Option<Box<str>> {
    let value = serde_json::to_value(purpose).ok()?;
    value.as_str().map(Into::into)
}

/// Names that are not known any more grant nothing.
fn rights(row: &PartnerRow) -> ServerRights {
    let purposes = |names: &[Box<str>]| {
        let names = names.iter().map(|name| Value::from(&**name));
        names
            .filter_map(|name| serde_json::from_value(name).ok())
            .collect()
    };
    ServerRights {
        inbound: purposes(&row.inbound),
        outbound: purposes(&row.outbound),
    }
}
