//! The task that sends delayed events when they are due, those due first first.
//!
//! It exists so that one task waits for all of them: for the next that is due, or for somebody who
//! schedules one. It knows nothing of what clients are told.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{DELAYED_SCOPE, DelayedRow, DelayedStage, ReadError, delayed_due, delayed_seen};
use belfry_policy::{Account, Admission, Rules};
use belfry_room::{Append, Change, RoomError, Txn};
use belfry_user::AdminError;
use ruma_common::{OwnedEventId, OwnedUserId};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::delaying::DelayError;
use crate::runner::{Flows, Inner};

/// Delayed events looked at at once.
const PAGE: usize = 100;
/// How long the task waits after it could not send.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest it sleeps: a machine that was suspended is older than its timers know.
const SLEEP_MAX: Duration = Duration::from_mins(10);

impl Flows {
    /// Begins to send delayed events when they are due; ends when the server stops. To be called
    /// once.
    pub fn send_due(&self, rules: Arc<Rules>) {
        let inner = Arc::clone(&self.0);
        self.0
            .env
            .tasks
            .spawn("delayed events", watch(inner, rules));
    }
}

async fn watch(inner: Arc<Inner>, rules: Arc<Rules>) {
    loop {
        let rest = match inner.send_due(&rules).await {
            Ok(rest) => rest,
            Err(error) => {
                tracing::warn!(%error, "delayed events could not be read; they wait");
                Some(PAUSE)
            }
        };
        let env = &inner.env;
        let slept = async {
            match rest {
                Some(rest) => env.clock.sleep(rest.min(SLEEP_MAX)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { biased;
            () = env.shutdown.wait() => return,
            () = inner.bell.notified() => {}
            () = slept => {}
        }
    }
}

impl Inner {
    /// Sends what is due; how long until the next is, if there is one.
    async fn send_due(&self, rules: &Rules) -> Result<Option<Duration>, ReadError> {
        let mut failed = false;
        loop {
            let snapshot = self.engine.snapshot().await?;
            let page = delayed_due(&*snapshot, PAGE).await?;
            let now = self.env.clock.age_ms();
            let full = page.len() == PAGE;
            for (due, id) in page {
                if due > now {
                    let left = Duration::from_millis(due - now);
                    return Ok(Some(if failed { left.min(PAUSE) } else { left }));
                }
                if self.env.shutdown.begun() {
                    return Ok(None);
                }
                failed |= !self.send_one(rules, &id).await?;
            }
            if !full || failed {
                return Ok(failed.then_some(PAUSE));
            }
        }
    }

    /// Whether nothing is left to be done about it.
    async fn send_one(&self, rules: &Rules, id: &str) -> Result<bool, ReadError> {
        let snapshot = self.engine.snapshot().await?;
        let seen = delayed_seen(&*snapshot, id).await?;
        drop(snapshot);
        let pending = [DelayedStage::Scheduled, DelayedStage::Sending];
        let now = self.env.clock.age_ms();
        let due = |row: &DelayedRow| pending.contains(&row.stage) && row.due_age_ms <= now;
        if !seen.row.as_ref().is_some_and(due) {
            return Ok(true);
        }
        match self.deliver(rules, id, seen, true).await {
            Ok(_) => Ok(true),
            Err(DelayError::Room(RoomError::Busy)) => Ok(false),
            Err(error) => {
                tracing::info!(%error, "a delayed event waits; it is tried again");
                Ok(false)
            }
        }
    }

    /// Has the room take a delayed event, for the account as it is now.
    pub(crate) async fn send(
        &self,
        rules: &Rules,
        id: &str,
        row: &DelayedRow,
    ) -> Result<OwnedEventId, RoomError> {
        let account = match self.users.account(&row.user).await {
            Ok(account) if !account.deactivated => account,
            Ok(_) | Err(AdminError::NotFound) => {
                let text = "the account was closed";
                return Err(RoomError::Forbidden(text.to_owned()));
            }
            Err(error) => return Err(RoomError::Unavailable(error.to_string())),
        };
        if let Some(invited) = invited(row) {
            let told = self.users.admits_invite(&invited, &row.user).await;
            let told = told.map_err(|fault| RoomError::Unavailable(fault.to_string()))?;
            if told == Admission::Blocked {
                let text = "this user takes no invites from you";
                return Err(RoomError::Forbidden(text.to_owned()));
            }
        }
        let append = Append {
            sender: row.user.clone(),
            change: change(row)?,
            txn: Some(Txn {
                user: row.user.clone(),
                device: (*row.device).into(),
                scope: DELAYED_SCOPE.to_owned(),
                id: id.to_owned(),
            }),
            timestamp_ms: None,
        };
        let account = Account {
            id: &row.user,
            role: &account.role,
            standing: account.standing,
        };
        let sent = self.rooms.append_as(rules, account, &row.room, append);
        Ok(sent.await?.event_id)
    }
}

/// The event as the room takes it.
fn change(row: &DelayedRow) -> Result<Change, RoomError> {
    let bad = |error: serde_json::Error| RoomError::BadContent(error.to_string());
    let content = RawValue::from_string(row.content.clone().into()).map_err(bad)?;
    let kind = (&*row.kind).into();
    if let Some(state_key) = &row.state_key {
        let state_key = state_key.clone().into();
        return Ok(Change::State {
            kind,
            state_key,
            content,
        });
    }
    if &*row.kind != "m.room.redaction" {
        return Ok(Change::Message { kind, content });
    }
    let mut rest: Map<String, Value> = serde_json::from_str(content.get()).map_err(bad)?;
    let target = rest.remove("redacts");
    let target = target.as_ref().and_then(Value::as_str).unwrap_or_default();
    let target = OwnedEventId::try_from(target);
    Ok(Change::Redaction {
        redacts: target.map_err(|error| RoomError::BadContent(error.to_string()))?,
        content: to_raw_value(&rest).map_err(bad)?,
    })
}

/// Whom the event invites.
fn invited(row: &DelayedRow) -> Option<OwnedUserId> {
    let key = row
        .state_key
        .as_deref()
        .filter(|_| &*row.kind == "m.room.member")?;
    let content: Value = serde_json::from_str(&row.content).ok()?;
    let user = OwnedUserId::try_from(key).ok()?;
    (content.get("membership").and_then(Value::as_str) == Some("invite")).then_some(user)
}
