//! Kicks and bans that take away what their target wrote (MSC4293).
//!
//! It exists because such a removal redacts events without redaction events: here, step by step,
//! behind the commit that holds it, wherever the event came from. It knows nothing of when steps
//! are taken.

use belfry_data::{
    Commit, Direction, FlowAct, Membership, RoomReader, Root, StateTuple, StoredEvent,
    TimelinePoint, WorkingSet, redact_stored,
};
use belfry_event::{EventHash, Pdu, RoomRules, may_redact_others};
use ruma_common::{EventId, OwnedUserId, RoomId, UserId};
use ruma_events::TimelineEventType;
use serde::Deserialize;

use crate::error::RoomError;
use crate::planner::rules_of;
use crate::rooms::Rooms;

/// Events looked at in one step.
const STEP_EVENTS: usize = 500;
/// Bytes of events that one step writes anew.
const STEP_BYTES: usize = 256 * 1024;
/// Member events of one stay that are looked through for its beginning.
const STAY_EVENTS_MAX: usize = 100;
/// What nobody redacts: rooms would break.
pub(crate) const KEPT: [&str; 2] = ["m.room.create", "m.room.server_acl"];

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    redact_events: bool,
    #[serde(default, rename = "org.matrix.msc4293.redact_events")]
    unstable: bool,
}

/// What follows from an event, if it is such a removal.
pub(crate) fn flow_of(event: &Pdu) -> Option<FlowAct> {
    if *event.event_type() != TimelineEventType::RoomMember {
        return None;
    }
    let user = OwnedUserId::try_from(event.state_key()?).ok()?;
    let content = event.content_json();
    let removes = matches!(
        Membership::from_content(content)?,
        Membership::Leave | Membership::Ban
    );
    let content: Content = serde_json::from_str(content).ok()?;
    let asked = content.redact_events || content.unstable;
    (removes && asked && event.sender() != user).then(|| FlowAct::RedactSent {
        room: event.room_id().to_owned(),
        user,
        by: event.event_id().clone(),
    })
}

impl Rooms {
    /// Redacts some of what the user sent in the stay that the removal `by` ended, latest first,
    /// those before the event `before`; where to go on, `None` at the end. Nothing is redacted if
    /// whoever removed the user had not the power to redact.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`], [`RoomError::UnknownEvent`], [`RoomError::Busy`].
    pub async fn redact_sent(
        &self,
        room_id: &RoomId,
        user: &UserId,
        by: &EventId,
        before: Option<&EventId>,
    ) -> Result<Option<String>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let rules = rules_of(&head)?;
        let (removal, event) = find(&reader, rules, by).await?;
        let root = removal.row.state_before.unwrap_or(Root::EMPTY);
        if !may_redact(&reader, rules, root, event.sender()).await? {
            return Ok(None);
        }
        let since = beginning(&reader, rules, root, user).await?;
        let Some((since, first)) = since else {
            return Ok(None);
        };
        let until = match before {
            Some(before) => {
                let (stored, event) = find(&reader, rules, before).await?;
                point(&stored, &event)
            }
            None => point(&removal, &event),
        };
        let page = reader
            .timeline(since, until, Direction::Backward, STEP_EVENTS)
            .await?;
        let hashes: Vec<_> = page.entries.iter().map(|(_, hash)| *hash).collect();
        let mut commit = Commit::synced();
        let mut last = None;
        for stored in reader.events(&hashes).await?.into_iter().flatten() {
            let event = stored.pdu(rules).map_err(fault)?;
            let kind = event.event_type().to_string();
            let kept =
                KEPT.contains(&&*kind) || stored.hash == first || stored.row.redacted_by.is_some();
            if event.sender() == user && !kept {
                redact_stored(&mut commit, room_id, &stored, removal.hash);
            }
            last = Some(event.event_id().to_string());
            if commit.bytes() > STEP_BYTES {
                break;
            }
        }
        if !commit.writes.is_empty() {
            self.0.engine.commit(commit).await?;
        }
        Ok(last)
    }
}

fn fault(error: impl std::fmt::Display) -> RoomError {
    RoomError::Fault(error.to_string())
}

fn point(stored: &StoredEvent, event: &Pdu) -> TimelinePoint {
    TimelinePoint {
        depth: event.depth(),
        stamp: stored.stamp,
    }
}

async fn find(
    reader: &RoomReader<'_>,
    rules: &'static RoomRules,
    event: &EventId,
) -> Result<(StoredEvent, Pdu), RoomError> {
    let hash = EventHash::from_event_id(event, rules.alphabet());
    let hash = hash.map_err(|_| RoomError::UnknownEvent)?;
    let stored = reader.event(hash).await?.ok_or(RoomError::UnknownEvent)?;
    let event = stored.pdu(rules).map_err(fault)?;
    Ok((stored, event))
}

async fn entry(
    reader: &RoomReader<'_>,
    root: Root,
    (kind, key): (&str, &str),
) -> Result<Option<StoredEvent>, RoomError> {
    let tuple = StateTuple::new(kind, key).map_err(fault)?;
    let mut set = WorkingSet::new();
    let states = reader.states();
    states
        .gather(&mut set, &[root], std::slice::from_ref(&tuple))
        .await?;
    match set.get(root, &tuple)? {
        Some(hash) => Ok(reader.event(hash).await?),
        None => Ok(None),
    }
}

/// Whether the user had the power to redact events of others in this state.
async fn may_redact(
    reader: &RoomReader<'_>,
    rules: &'static RoomRules,
    root: Root,
    user: &UserId,
) -> Result<bool, RoomError> {
    let mut events = Vec::new();
    for kind in ["m.room.create", "m.room.power_levels"] {
        let stored = entry(reader, root, (kind, "")).await?;
        let event = stored.map(|stored| stored.pdu(rules).map(std::sync::Arc::new));
        events.push(event.transpose().map_err(fault)?);
    }
    let levels = events.pop().flatten();
    let create = events.pop().flatten();
    Ok(create.is_some_and(|create| may_redact_others(&create, levels.as_ref(), user)))
}

/// Where the stay began that lasted in this state, and by which event: its first join, behind which changes of the
/// user's name do not begin another.
async fn beginning(
    reader: &RoomReader<'_>,
    rules: &'static RoomRules,
    root: Root,
    user: &UserId,
) -> Result<Option<(TimelinePoint, EventHash)>, RoomError> {
    let (mut root, mut found) = (root, None);
    for _ in 0..STAY_EVENTS_MAX {
        let Some(stored) = entry(reader, root, ("m.room.member", user.as_str())).await? else {
            break;
        };
        let event = stored.pdu(rules).map_err(fault)?;
        let joined = Membership::from_content(event.content_json()) == Some(Membership::Join);
        if !joined && found.is_some() {
            break;
        }
        found = Some((point(&stored, &event), stored.hash));
        root = stored.row.state_before.unwrap_or(Root::EMPTY);
        if !joined {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Server, alice, append, bob, content, json_of};
    use crate::{Change, MemberAct, Preset};

    async fn removal(server: &Server, room: &RoomId, membership: &str) -> FlowAct {
        let change = Change::State {
            kind: "m.room.member".into(),
            state_key: bob().to_string(),
            content: content(&json!({"membership": membership, "redact_events": true})),
        };
        let append = append(alice(), change);
        let made = server.rooms.append(room, append).await.unwrap();
        let log = server.log(room).await;
        let stored = log.iter().find(|stored| stored.hash == made.hash).unwrap();
        let rules = RoomRules::new(&ruma_common::RoomVersionId::V12).unwrap();
        flow_of(&stored.pdu(rules).unwrap()).unwrap()
    }

    async fn work_off(server: &Server, flow: &FlowAct) {
        let FlowAct::RedactSent { room, user, by } = flow else {
            panic!("{flow:?}")
        };
        let mut at = None;
        loop {
            let before = at
                .as_deref()
                .map(|at: &str| <&EventId>::try_from(at).unwrap());
            let next = server.rooms.redact_sent(room, user, by, before).await;
            match next.unwrap() {
                Some(next) => at = Some(next),
                None => return,
            }
        }
    }

    async fn redacted(server: &Server, room: &RoomId) -> Vec<String> {
        let log = server.log(room).await.into_iter();
        let gone = log.filter(|stored| stored.row.redacted_by.is_some());
        gone.map(|stored| {
            json_of(&stored)["content"]["body"]
                .as_str()
                .unwrap_or("-")
                .to_owned()
        })
        .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ban_redacts_the_last_stay_and_nothing_else() {
        let server = Server::new();
        let room = server.room(Preset::PublicChat).await;
        server
            .act(&room, bob(), bob(), MemberAct::Join)
            .await
            .unwrap();
        server.say(&room, bob(), "before").await.unwrap();
        server
            .act(&room, bob(), bob(), MemberAct::Leave)
            .await
            .unwrap();
        server
            .act(&room, bob(), bob(), MemberAct::Join)
            .await
            .unwrap();
        server.say(&room, bob(), "first").await.unwrap();
        server.say(&room, alice(), "other").await.unwrap();
        server.say(&room, bob(), "second").await.unwrap();
        let flow = removal(&server, &room, "ban").await;
        work_off(&server, &flow).await;
        assert_eq!(redacted(&server, &room).await, ["first", "second"]);
        server.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_may_not_redact_takes_nothing_away() {
        let server = Server::new();
        let mut wish = crate::fixture::request(Preset::PublicChat);
        wish.version = ruma_common::RoomVersionId::V11;
        let levels = json!({"redact": 101});
        wish.power_level_content_override = levels.as_object().unwrap().clone();
        let room = server.rooms.create(wish).await.unwrap();
        server
            .act(&room, bob(), bob(), MemberAct::Join)
            .await
            .unwrap();
        server.say(&room, bob(), "stays").await.unwrap();
        let change = Change::State {
            kind: "m.room.member".into(),
            state_key: bob().to_string(),
            content: content(&json!({"membership": "leave", "redact_events": true})),
        };
        let made = server.rooms.append(&room, append(alice(), change)).await;
        let by = made.unwrap().event_id;
        let done = server.rooms.redact_sent(&room, bob(), &by, None).await;
        assert_eq!(done, Ok(None));
        assert!(redacted(&server, &room).await.is_empty());
        server.stop().await;
    }
}
