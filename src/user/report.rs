//! What users report to the administration (spec, "Reporting Content").
//!
//! Whether the thing reported is there, and whether the reporter can see it, was asked before. Knows
//! nothing of rooms.

use belfry_data::{
    Commit, REPORTS_PER_USER_MAX, ReadError, ReportRow, put_report, reports_by, was_reported,
};
use belfry_policy::{Action, Denial};
use ruma_common::UserId;

pub use belfry_data::ReportTarget;

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Longest reason, in characters.
pub const REPORT_REASON_CHARS_MAX: usize = 2_000;

/// Why a report was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Beyond [`REPORT_REASON_CHARS_MAX`].
    #[error("the reason is longer than {REPORT_REASON_CHARS_MAX} characters; shorten it")]
    TooLong,
    /// Beyond [`REPORTS_PER_USER_MAX`].
    #[error("you have reported a lot; write to the administrators of this server")]
    TooMany,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for ReportError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// Keeps a report for the administration. The same thing reported again is one report, with the
    /// later reason.
    pub async fn report(
        &self,
        requester: &Requester,
        target: ReportTarget,
        reason: &str,
    ) -> Result<(), ReportError> {
        self.check_report(requester, reason)?;
        let reporter = &requester.user_id;
        let snapshot = self.0.store.snapshot().await?;
        if !was_reported(&*snapshot, reporter, &target).await? {
            let there = reports_by(&*snapshot, reporter, REPORTS_PER_USER_MAX).await?;
            if there.len() >= REPORTS_PER_USER_MAX {
                return Err(ReportError::TooMany);
            }
        }
        let row = ReportRow {
            target,
            reason: reason.into(),
            ts: self.0.env.clock.wall_ms(),
        };
        let mut commit = Commit::synced();
        put_report(&mut commit, reporter, &row);
        self.0.store.commit(commit, &mut Tries::default()).await?;
        Ok(())
    }

    /// Refuses what [`Self::report`] would refuse whatever is reported.
    pub fn check_report(&self, requester: &Requester, reason: &str) -> Result<(), ReportError> {
        self.allow(requester, Action::Report)?;
        if reason.chars().count() > REPORT_REASON_CHARS_MAX {
            return Err(ReportError::TooLong);
        }
        Ok(())
    }

    /// What a user has reported, in no order, at most [`REPORTS_PER_USER_MAX`].
    pub async fn reports_by(&self, reporter: &UserId) -> Result<Vec<ReportRow>, Fault> {
        let snapshot = self.0.store.snapshot().await?;
        let rows = reports_by(&*snapshot, reporter, REPORTS_PER_USER_MAX).await?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}
