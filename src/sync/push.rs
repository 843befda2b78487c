//! Tells push gateways of what notified somebody (Push Gateway API), one pusher after the other.
//!
//! It exists so that a push is lost by no crash and blocked by no gateway: what notified is in the
//! rows that the projector writes, and each pusher has a cursor in them. It knows nothing of HTTP:
//! whoever does implements [`Gateway`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_data::{
    BoxFuture, Commit, CursorRow, MAIN_THREAD, Snapshot, Stamp, cursor, move_cursor,
    note::{NoteRow, notes_at, notes_behind},
    pusher::{PusherKey, PusherRow, delete_pusher, pushers, users_with_pushers},
};
use belfry_env::Moment;
use ruma_common::{OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    error::Fault,
    room_view::RoomView,
    unread::{ReadUpTo, Unread},
    views::{Shared, Views},
};

/// Pushes to one gateway before another pusher has its turn.
pub const PUSHES_PER_TURN_MAX: usize = 20;
/// What notified longer ago is not pushed any more.
pub const PUSH_AGE_MAX: Duration = Duration::from_hours(24);
/// Longest pause between two tries of a gateway that does not answer.
pub const PUSH_PAUSE_MAX: Duration = Duration::from_hours(1);
/// The first such pause; each is twice as long as the one before.
const PUSH_PAUSE: Duration = Duration::from_secs(10);
/// Users read at once.
const PAGE: usize = 1_000;

/// What a gateway answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GatewayError(pub String);

/// Asks push gateways.
pub trait Gateway: Send + Sync {
    /// Posts `body` to `url`; the `rejected` keys of the answer. An error is tried again later.
    fn notify<'a>(
        &'a self,
        url: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<String>, GatewayError>>;
}

/// Who was notified and not looked after yet.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    users: Mutex<BTreeSet<OwnedUserId>>,
    bell: Notify,
}

impl Noted {
    /// These users were notified.
    pub(crate) fn add(&self, users: BTreeSet<OwnedUserId>) {
        if !users.is_empty() {
            self.lock().extend(users);
            self.bell.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<OwnedUserId> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<OwnedUserId>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pusher whose gateway did not answer.
#[derive(Debug)]
struct Pause {
    span: Duration,
    until: Moment,
}

/// The task that pushes.
struct Courier {
    shared: Arc<Shared>,
    gateway: Arc<dyn Gateway>,
    paused: BTreeMap<OwnedUserId, Pause>,
}

/// What became of a user's pushes.
enum Outcome {
    Done,
    More,
    Failed,
}

impl Views {
    /// Begins to push by this gateway; ends when the server stops. To be called once.
    pub fn push_by(&self, gateway: Arc<dyn Gateway>) {
        let courier = Courier {
            shared: Arc::clone(&self.0),
            gateway,
            paused: BTreeMap::new(),
        };
        self.0.env.tasks.spawn("push", courier.run());
    }
}

impl Courier {
    async fn run(mut self) {
        let mut due = self.everybody().await;
        while !self.shared.env.shutdown.begun() {
            due.extend(self.shared.noted.take());
            let now = self.shared.env.clock.now();
            let over = self.paused.iter().filter(|(_, pause)| pause.until <= now);
            due.extend(over.map(|(user, _)| user.clone()));
            due = self.round(due).await;
            if due.is_empty() && !self.rest().await {
                return;
            }
        }
    }

    /// Waits until there is something to do; `false` if the server stops.
    async fn rest(&self) -> bool {
        let env = &self.shared.env;
        let next = self.paused.values().map(|pause| pause.until).min();
        let next = next.unwrap_or_else(|| env.clock.now() + PUSH_PAUSE_MAX);
        tokio::select! {
            biased;
            () = env.shutdown.wait() => false,
            () = self.shared.noted.bell.notified() => true,
            () = env.clock.sleep_until(next) => true,
        }
    }

    /// Whoever has pushers: what notified them before the server started may wait.
    async fn everybody(&self) -> BTreeSet<OwnedUserId> {
        let mut all = BTreeSet::new();
        let Ok(snapshot) = self.shared.snapshot().await else {
            return all;
        };
        loop {
            let after = all.last().cloned();
            match users_with_pushers(&*snapshot, after.as_deref(), PAGE).await {
                Ok(page) if !page.is_empty() => all.extend(page),
                _ => return all,
            }
        }
    }

    /// A turn for each; who is to have another.
    async fn round(&mut self, due: BTreeSet<OwnedUserId>) -> BTreeSet<OwnedUserId> {
        let mut again = BTreeSet::new();
        for user in due {
            let now = self.shared.env.clock.now();
            if self
                .paused
                .get(&user)
                .is_some_and(|pause| pause.until > now)
            {
                continue;
            }
            match self.serve(&user).await {
                Ok(Outcome::Done) => _ = self.paused.remove(&user),
                Ok(Outcome::More) => _ = again.insert(user),
                Ok(Outcome::Failed) => self.pause(user),
                Err(fault) => {
                    tracing::warn!(%fault, "pushes could not be read; they are tried again");
                    self.pause(user);
                }
            }
        }
        again
    }

    fn pause(&mut self, user: OwnedUserId) {
        let now = self.shared.env.clock.now();
        let last = self.paused.get(&user).map(|pause| pause.span * 2);
        let span = last.unwrap_or(PUSH_PAUSE).min(PUSH_PAUSE_MAX);
        let until = now + span;
        self.paused.insert(user, Pause { span, until });
    }

    async fn serve(&self, user: &UserId) -> Result<Outcome, Fault> {
        let snapshot = self.shared.snapshot().await?;
        let mut outcome = Outcome::Done;
        for (key, row) in pushers(&*snapshot, user).await? {
            match self.serve_pusher(user, &key, &row).await? {
                Outcome::More if matches!(outcome, Outcome::Done) => outcome = Outcome::More,
                Outcome::Done | Outcome::More => {}
                Outcome::Failed => outcome = Outcome::Failed,
            }
        }
        Ok(outcome)
    }

    async fn serve_pusher(
        &self,
        user: &UserId,
        key: &PusherKey,
        row: &PusherRow,
    ) -> Result<Outcome, Fault> {
        let shared = &self.shared;
        let name = format!("push {user} {} {}", key.app_id, digest(&key.pushkey));
        let pusher: Value = serde_json::from_str(&row.json).unwrap_or_default();
        let snapshot = shared.snapshot().await?;
        let mut seen = cursor(&*snapshot, &name).await?;
        let after = seen.as_ref().map_or(Stamp::default(), |row| row.stamp);
        let found = notes_behind(&*snapshot, user, after, PUSHES_PER_TURN_MAX).await?;
        let more = found.len() == PUSHES_PER_TURN_MAX;
        for (at, note) in found {
            if let Ok(room) = OwnedRoomId::try_from(&*note.room) {
                let snapshot = shared.snapshot().await?;
                let body = self
                    .body(&*snapshot, user, (&room, at), (key, row, &pusher))
                    .await?;
                if let Some(body) = body {
                    let url = pusher["data"]["url"].as_str().unwrap_or_default();
                    match self.gateway.notify(url, body).await {
                        Ok(rejected) if rejected.contains(&key.pushkey) => {
                            let mut commit = Commit::synced();
                            delete_pusher(&mut commit, user, key);
                            shared.engine.commit(commit).await.map_err(Fault::Store)?;
                            return Ok(Outcome::Done);
                        }
                        Ok(_) => {}
                        Err(_) => return Ok(Outcome::Failed),
                    }
                }
            }
            let to = CursorRow {
                stamp: at,
                resume: Vec::new(),
            };
            let mut commit = Commit::lazy();
            if move_cursor(&mut commit, &name, seen.as_ref(), &to).is_err() {
                return Ok(Outcome::Done);
            }
            shared.engine.commit(commit).await.map_err(Fault::Store)?;
            seen = Some(to);
        }
        Ok(if more { Outcome::More } else { Outcome::Done })
    }

    /// What the gateway is told; `None` if that is too late, or the event was read or is gone.
    async fn body(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        (room, at): (&OwnedRoomId, Stamp),
        (key, row, pusher): (&PusherKey, &PusherRow, &Value),
    ) -> Result<Option<String>, Fault> {
        let found = notes_at(snapshot, user, &[(room.clone(), at)]).await?.pop();
        let Some(note) = found.flatten() else {
            return Ok(None);
        };
        let now = self.shared.now_ms();
        let old = u128::from(now.saturating_sub(note.ts)) > PUSH_AGE_MAX.as_millis();
        if old || note.ts < row.set_ts {
            return Ok(None);
        }
        if ReadUpTo::of(snapshot, room, user).await?.covers(at, &note) {
            return Ok(None);
        }
        let Some(view) = RoomView::now(snapshot, room).await? else {
            return Ok(None);
        };
        let Some(event) = view.events(&[note.event]).await?.pop() else {
            return Ok(None);
        };
        let until = crate::room_view::behind(snapshot);
        let unread = Unread::read(snapshot, user, room, until).await?.total();
        let mut told = json!({
            "event_id": event.pdu.event_id(),
            "room_id": room,
            "prio": if note.highlight { "high" } else { "low" },
            "counts": {"unread": unread.notifications},
            "devices": [device(key, row, pusher, &note)],
        });
        if pusher["data"]["format"] != "event_id_only" {
            let content: Value = serde_json::from_str(event.pdu.content_json()).unwrap_or_default();
            told["type"] = json!(event.pdu.event_type().to_string());
            told["sender"] = json!(event.pdu.sender());
            told["content"] = content;
            told["user_is_target"] = json!(event.pdu.state_key() == Some(user.as_str()));
            if *note.thread != *MAIN_THREAD {
                told["thread_id"] = json!(&*note.thread);
            }
        }
        Ok(Some(json!({ "notification": told }).to_string()))
    }
}

fn device(key: &PusherKey, row: &PusherRow, pusher: &Value, note: &NoteRow) -> Value {
    let mut data = pusher["data"].clone();
    if let Some(data) = data.as_object_mut() {
        data.remove("url");
    }
    let actions: Value = serde_json::from_str(&note.actions).unwrap_or_default();
    let mut tweaks = serde_json::Map::new();
    for action in actions.as_array().into_iter().flatten() {
        if let Some(name) = action["set_tweak"].as_str() {
            let value = action.get("value").cloned().unwrap_or(json!(true));
            tweaks.insert(name.to_owned(), value);
        }
    }
    json!({
        "app_id": key.app_id,
        "pushkey": key.pushkey,
        "pushkey_ts": row.set_ts / 1_000,
        "data": data,
        "tweaks": tweaks,
    })
}

/// Stands for a key that may be long: FNV-1a. Two that agree would share a cursor.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
