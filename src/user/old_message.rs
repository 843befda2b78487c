//! Messages that waited too long for their device are taken out of its inbox.
//!
//! Exists so that a device which never comes back keeps them no longer than anybody would be given
//! them. Knows nothing of how often it is asked.

use belfry_data::{Commit, STAMP_FIRST, STAMP_LAST, keys};
use ruma_common::{OwnedUserId, UserId};

use crate::{Users, fault::Fault, store::Tries, to_device::FORGET_MAX};

/// Inboxes that one step looks at.
pub const OLD_PAGE_MAX: usize = 200;

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OldMessages {
    /// Messages that went.
    pub dropped: usize,
    /// Where to go on: the last device that was looked at; `None` after the last of all.
    pub next: Option<(OwnedUserId, String)>,
}

impl Users {
    /// Takes messages whose time is up out of the inboxes of the next [`OLD_PAGE_MAX`] devices
    /// behind `after`. Whatever a crash takes back, the next round does.
    pub async fn drop_old_messages(
        &self,
        after: Option<&(OwnedUserId, String)>,
    ) -> Result<OldMessages, Fault> {
        let age_ms = self.0.env.clock.age_ms();
        let after = after.map(|(user, device)| (&**user, device.as_str()));
        let snapshot = self.0.store.snapshot().await?;
        let page = keys::devices_heard(&*snapshot, after, OLD_PAGE_MAX).await?;
        let inboxes: Vec<_> = page
            .iter()
            .map(|found| (&*found.user, found.device.as_str()))
            .collect();
        let oldest = keys::oldest_in_inboxes(&*snapshot, &inboxes).await?;
        drop(snapshot);
        let mut step = OldMessages::default();
        for (inbox, oldest) in inboxes.iter().zip(oldest) {
            if !oldest.expired(age_ms).is_empty() {
                step.dropped += self.drop_old(*inbox, age_ms).await?;
            }
        }
        if page.len() == OLD_PAGE_MAX {
            step.next = page.last().map(|at| (at.user.clone(), at.device.clone()));
        }
        Ok(step)
    }

    /// The oldest of one inbox, in one commit; the rest of many waits for the next round.
    async fn drop_old(&self, (user, device): (&UserId, &str), age_ms: u64) -> Result<usize, Fault> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let inbox = (user, device);
            let page = keys::messages_for(&*snapshot, inbox, STAMP_FIRST, STAMP_LAST, FORGET_MAX);
            let old = page.await?.expired(age_ms);
            if old.is_empty() {
                return Ok(0);
            }
            let mut commit = Commit::lazy();
            keys::forget_messages(&mut commit, user, device, &old);
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(old.len());
            }
        }
    }
}
