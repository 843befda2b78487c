//! Devices that nobody uses any more are signed out.
//!
//! Exists so that a session somebody forgot does not stay open for ever. How long a device was not
//! heard of is counted by the installation's age: a wall clock that is set signs nobody out. Knows
//! nothing of how often it is asked.

use std::{collections::BTreeMap, time::Duration};

use belfry_data::{
    Commit,
    account::{self as rows, UserChange},
    keys::{self, DEVICES_HEARD_MAX, HeardRow},
};
use ruma_common::{OwnedUserId, UserId};

use crate::{Users, fault::Fault, session::remove_devices, store::Tries};

/// Devices that one step looks at.
pub const IDLE_PAGE_MAX: usize = DEVICES_HEARD_MAX;

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdleStep {
    /// Devices that were signed out.
    pub dropped: usize,
    /// Where to go on: the last device that was looked at; `None` after the last of all.
    pub next: Option<(OwnedUserId, String)>,
}

impl Users {
    /// Signs out the devices behind `after` that were not heard of for as long as the options say,
    /// of the next [`IDLE_PAGE_MAX`]; none if they say nothing. A device of which it is not known
    /// when it was heard of last counts as heard of now. Whatever a crash leaves undone, the next
    /// round does.
    pub async fn drop_idle_devices(
        &self,
        after: Option<&(OwnedUserId, String)>,
    ) -> Result<IdleStep, Fault> {
        let Some(life) = self.0.options.idle_device_life else {
            return Ok(IdleStep::default());
        };
        let age_ms = self.0.env.clock.age_ms();
        let after = after.map(|(user, device)| (&**user, device.as_str()));
        let snapshot = self.0.store.snapshot().await?;
        let page = keys::devices_heard(&*snapshot, after, IDLE_PAGE_MAX).await?;
        drop(snapshot);
        let mut step = IdleStep::default();
        if page.len() == IDLE_PAGE_MAX {
            step.next = page.last().map(|at| (at.user.clone(), at.device.clone()));
        }
        let mut begun = Commit::lazy();
        let mut idle: BTreeMap<OwnedUserId, Vec<String>> = BTreeMap::new();
        for found in page {
            match found.heard {
                None => keys::note_heard(&mut begun, &found.user, &found.device, age_ms),
                Some(heard) if is_idle(heard, life, age_ms) => {
                    idle.entry(found.user).or_default().push(found.device);
                }
                Some(_) => {}
            }
        }
        if !begun.writes.is_empty() {
            let mut tries = Tries::default();
            self.0.store.commit(begun, &mut tries).await?;
        }
        for (user, devices) in idle {
            step.dropped += self.drop_idle(&user, &devices, life).await?;
        }
        Ok(step)
    }

    /// Signs out those of these devices that are idle still; how many.
    async fn drop_idle(
        &self,
        user: &UserId,
        devices: &[String],
        life: Duration,
    ) -> Result<usize, Fault> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let Some(mut change) = UserChange::of(&*snapshot, user).await? else {
                return Ok(0);
            };
            let age_ms = self.0.env.clock.age_ms();
            let mut idle = Vec::new();
            for device in devices {
                if rows::device(&*snapshot, user, device).await?.is_none() {
                    continue;
                }
                let seen = keys::heard(&*snapshot, user, device).await?;
                if seen.row.is_some_and(|row| is_idle(row, life, age_ms)) {
                    // Whoever is heard of at this moment stays.
                    change.check_heard(device, &seen);
                    idle.push(device);
                }
            }
            if idle.is_empty() {
                return Ok(0);
            }
            let chosen = |id: &str| idle.iter().any(|device| *device == id);
            remove_devices(&*snapshot, &mut change, chosen).await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(idle.len());
            }
        }
    }
}

fn is_idle(heard: HeardRow, life: Duration, age_ms: u64) -> bool {
    let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    age_ms.saturating_sub(heard.age_ms) >= life_ms
}
