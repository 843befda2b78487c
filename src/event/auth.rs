//! Authorisation: which events allow an event, and whether they do.
//!
//! It exists so that the checks on receipt of an event (Server-Server API, "Checks performed on
//! receipt of a PDU", 4 to 6) and the checks before sending one are the same few functions over
//! events already gathered, with reasons that a person can act on. The rules themselves are
//! ruma's; what this module adds is the order of the checks, the events that must be of this very
//! room, and the explanation. It knows nothing of signatures, of how state came about, or of
//! where events are kept.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use ruma_common::{EventId, UserId};
use ruma_events::room::member::MembershipState;
use ruma_events::room::power_levels::UserPowerLevel;
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::events::{RoomCreateEvent, RoomMemberEvent, RoomPowerLevelsEvent};
use serde_json::value::RawValue;

use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::rules::RoomRules;

/// What names a piece of room state: its type and state key.
pub type StateMapKey = (StateEventType, String);

/// Power level of a creator in a room without `m.room.power_levels`, before room version 12.
const CREATOR_POWER_DEFAULT: i32 = 100;

/// What the authorisation rules say of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The event is allowed.
    Accept,
    /// The event is not allowed.
    Reject(Rejection),
}

impl Verdict {
    /// Whether the event is allowed.
    pub const fn is_accept(&self) -> bool {
        matches!(self, Self::Accept)
    }

    /// Why the event is not allowed, if it is not.
    pub fn rejection(self) -> Option<Rejection> {
        match self {
            Self::Accept => None,
            Self::Reject(rejection) => Some(rejection),
        }
    }
}

impl From<Result<(), Rejection>> for Verdict {
    fn from(result: Result<(), Rejection>) -> Self {
        result.map_or_else(Self::Reject, |()| Self::Accept)
    }
}

/// What an event was checked against when it was found wanting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The event alone, or its list of auth events.
    Event,
    /// The state that its auth events make up (check 4).
    AuthEvents,
    /// The state before the event (check 5), or any other state that was asked about.
    State,
    /// The current state of the room (check 6).
    CurrentState,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "on its own",
            Self::AuthEvents => "by its auth events",
            Self::State => "by the state of the room",
            Self::CurrentState => "by the current state of the room",
        })
    }
}

/// Why an event is not allowed; its `Display` goes to logs and into the texts of 403 answers.
///
/// It names the sender, the type and the rule, and what the sender lacks where that is known:
/// nothing that the sender could not read in the room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{attempt} is not allowed {basis}: {rule}{shortfall}")]
pub struct Rejection {
    /// What was checked against.
    pub basis: Basis,
    /// The rule that failed, in words.
    pub rule: String,
    attempt: String,
    shortfall: String,
}

impl Rejection {
    fn new(event: &Pdu, basis: Basis, rule: impl Into<String>) -> Self {
        Self {
            basis,
            rule: rule.into(),
            attempt: attempt(event),
            shortfall: String::new(),
        }
    }

    fn against(self, basis: Basis) -> Self {
        Self { basis, ..self }
    }
}

/// Who did what, for the reader of a log.
fn attempt(event: &Pdu) -> String {
    let (sender, event_type) = (event.sender(), event.event_type());
    match event.state_key() {
        None | Some("") => format!("{event_type} by {sender}"),
        Some(state_key) => format!("{event_type} for {state_key} by {sender}"),
    }
}

/// Events that a check needs were not given to it, so it can say nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} events that the rules need were not gathered: load or fetch them, then ask again", missing.len())]
pub struct NotGathered {
    /// What to load, in the order of the event's `auth_events`.
    pub missing: Vec<EventHash>,
}

/// The state that allows an event, whose ids become its `auth_events` (Server-Server API, "Auth
/// events selection"): look these keys up in the state before the event and cite what is there,
/// in this order.
///
/// `content` is what the event will have. The create event has none. From room version 12 on the
/// create event is never among the keys, although the checks need it: see [`state_needed`].
///
/// # Errors
/// The reason, if `content` is not what the type demands (a membership that is no string).
pub fn auth_types(
    rules: &RoomRules,
    event_type: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
) -> Result<Vec<StateMapKey>, String> {
    let rules = rules.authorization();
    ruma_state_res::auth_types_for_event(event_type, sender, state_key, content, rules)
}

/// The entries of a state map that [`check_state_dependent`] reads for `event`: its auth types,
/// and the create event.
///
/// # Errors
/// If the event's content is not what its type demands, the event is to be rejected.
pub fn state_needed(event: &Pdu) -> Result<Vec<StateMapKey>, Rejection> {
    let mut keys = types_of(event)?;
    let create = (StateEventType::RoomCreate, String::new());
    if !keys.contains(&create) && !event.is_create() {
        keys.push(create);
    }
    Ok(keys)
}

fn types_of(event: &Pdu) -> Result<Vec<StateMapKey>, Rejection> {
    let content = ruma_state_res::Event::content(event);
    auth_types(
        event.rules(),
        event.event_type(),
        event.sender(),
        event.state_key(),
        content,
    )
    .map_err(|rule| Rejection::new(event, Basis::Event, rule))
}

/// The events that [`check_state_independent`] and [`check_auth_events`] look up: the event's
/// `auth_events`, and from room version 12 on the create event that the room is named after.
///
/// None for an `m.room.create` event: what it cites is never looked at.
pub fn auth_events_needed(event: &Pdu) -> Vec<EventHash> {
    if event.is_create() {
        return Vec::new();
    }
    let mut hashes = event.auth_hashes().to_vec();
    hashes.extend(create_by_room_id(event).filter(|create| !event.auth_hashes().contains(create)));
    hashes
}

/// The create event of `event`'s room, where the room ID tells: room versions 12 and later.
pub(crate) fn create_by_room_id(event: &Pdu) -> Option<EventHash> {
    if !event.rules().room_id_is_hash() || event.is_create() {
        return None;
    }
    EventHash::from_room_id(event.room_id()).ok()
}

/// The part of the rules that looks at nothing but the event and its list of auth events: each
/// known, of this room, accepted, of a type that may be cited, and cited once; the form of an
/// `m.room.create` event. Run once, when the event is received.
///
/// # Errors
/// If an event named by [`auth_events_needed`] is unknown to `lookup`.
pub fn check_state_independent(
    event: &Pdu,
    lookup: impl Fn(EventHash) -> Option<Arc<Pdu>>,
) -> Result<Verdict, NotGathered> {
    let needed = auth_events_needed(event);
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|hash| lookup(*hash).is_none())
        .collect();
    if !missing.is_empty() {
        return Err(NotGathered { missing });
    }
    let own = if event.is_create() {
        begins_room(event)
    } else {
        room_began(event, &lookup)
    };
    let rules = event.rules().authorization();
    let fetch = |id: &EventId| EventHash::from_any_event_id(id).ok().and_then(&lookup);
    let verdict =
        own.and_then(|()| ruma_state_res::check_state_independent_auth_rules(rules, event, fetch));
    Ok(verdict
        .map_err(|rule| Rejection::new(event, Basis::Event, rule))
        .into())
}

/// That a create event is held to the rules of the version it names, and from version 12 on does
/// not name a room, for the room is named after it.
fn begins_room(create: &Pdu) -> Result<(), String> {
    let said = RoomCreateEvent::new(create).room_version()?;
    let ours = create.rules().version();
    if said != *ours {
        return Err(format!(
            "the event begins a room of version {said}, not of version {ours}"
        ));
    }
    if create.rules().room_id_is_hash() && *create.room_id() != *create.hash().to_room_id() {
        return Err(format!(
            "the event names a room, {}, of which it is no part",
            create.room_id()
        ));
    }
    Ok(())
}

/// That the event a room of version 12 is named after began a room, and not just anything.
fn room_began(event: &Pdu, lookup: impl Fn(EventHash) -> Option<Arc<Pdu>>) -> Result<(), String> {
    if !event.rules().room_id_is_hash() {
        return Ok(());
    }
    let create = create_by_room_id(event).and_then(lookup);
    match create {
        Some(create) if create.is_create() && create.rules() == event.rules() => Ok(()),
        _ => Err(format!(
            "{} is not named after an m.room.create event",
            event.room_id()
        )),
    }
}

/// The part of the rules that depends on state, against any state: the state before the event,
/// the current state, the state that a client would send into.
///
/// `state` gives the event at a key of that state; only the keys of [`state_needed`] are asked
/// for. An event of another room there is a rejection, whatever it says. The signatures of the
/// event, of a restricted join's authorising server among them, must have been verified.
pub fn check_state_dependent(
    event: &Pdu,
    state: impl Fn(&StateEventType, &str) -> Option<Arc<Pdu>>,
) -> Verdict {
    let foreign = Cell::new(None);
    let own_state = |event_type: &StateEventType, state_key: &str| {
        let found = state(event_type, state_key)?;
        if found.room_id() != event.room_id() {
            foreign.set(Some(found.hash()));
            return None;
        }
        Some(found)
    };
    let allowed = allowed_by(event, own_state);
    if let Some(hash) = foreign.get() {
        let rule = format!("the state has {hash:?}, which is of another room");
        return Verdict::Reject(Rejection::new(event, Basis::State, rule));
    }
    let rejection = |rule| Rejection {
        shortfall: shortfall(event, &state).unwrap_or_default(),
        ..Rejection::new(event, Basis::State, rule)
    };
    allowed.map_err(rejection).into()
}

/// The bare rules, for state resolution, which needs no explanation.
pub(crate) fn allowed_by(
    event: &Pdu,
    state: impl Fn(&StateEventType, &str) -> Option<Arc<Pdu>>,
) -> Result<(), String> {
    ruma_state_res::check_state_dependent_auth_rules(event.rules().authorization(), event, state)
}

/// Check 4: the event against the state that its own auth events make up. Auth events that were
/// rejected, or that `lookup` does not know, count as absent; [`check_state_independent`] is what
/// turns those away.
pub fn check_auth_events(event: &Pdu, lookup: impl Fn(EventHash) -> Option<Arc<Pdu>>) -> Verdict {
    let cited: Vec<_> = auth_events_needed(event)
        .into_iter()
        .filter_map(lookup)
        .filter(|auth_event| !auth_event.rejected())
        .collect();
    let state = |event_type: &StateEventType, state_key: &str| {
        let sought = TimelineEventType::from(event_type.clone());
        let is_it = |e: &&Arc<Pdu>| *e.event_type() == sought && e.state_key() == Some(state_key);
        cited.iter().find(is_it).cloned()
    };
    match check_state_dependent(event, state) {
        Verdict::Reject(rejection) => Verdict::Reject(rejection.against(Basis::AuthEvents)),
        Verdict::Accept => Verdict::Accept,
    }
}

/// What becomes of an event that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It takes part in everything.
    Accepted,
    /// It is kept, but no client sees it and no event of ours builds on it; its state counts in
    /// resolution (Server-Server API, "Soft failure").
    SoftFailed(Rejection),
    /// It is kept so that events built on it can be judged, and changes nothing.
    Rejected(Rejection),
}

/// Checks 4 to 6 on a received event, in order: its auth events, the state before it, the current
/// state of the room. The policy server's check, if any, comes after.
///
/// `lookup` knows what [`auth_events_needed`] names; `before` and `current` know what
/// [`state_needed`] names, or give `None` for what is not in that state.
///
/// # Errors
/// If an auth event is unknown to `lookup`.
pub fn judge(
    event: &Pdu,
    lookup: impl Fn(EventHash) -> Option<Arc<Pdu>>,
    before: impl Fn(&StateEventType, &str) -> Option<Arc<Pdu>>,
    current: impl Fn(&StateEventType, &str) -> Option<Arc<Pdu>>,
) -> Result<Judgement, NotGathered> {
    let rejected = check_state_independent(event, &lookup)?
        .rejection()
        .or_else(|| check_auth_events(event, &lookup).rejection())
        .or_else(|| check_state_dependent(event, before).rejection());
    if let Some(rejection) = rejected {
        return Ok(Judgement::Rejected(rejection));
    }
    Ok(match check_state_dependent(event, current) {
        Verdict::Accept => Judgement::Accepted,
        Verdict::Reject(reason) => Judgement::SoftFailed(reason.against(Basis::CurrentState)),
    })
}

/// What the sender is and has, to put a reason into proportion. Anything unreadable in the state
/// is left out: the rule that failed has said so already.
fn shortfall(
    event: &Pdu,
    state: impl Fn(&StateEventType, &str) -> Option<Arc<Pdu>>,
) -> Option<String> {
    let membership = match state(&StateEventType::RoomMember, event.sender().as_str()) {
        Some(member) => RoomMemberEvent::new(member).membership().ok()?,
        None => MembershipState::Leave,
    };
    let create = RoomCreateEvent::new(state(&StateEventType::RoomCreate, "")?);
    let levels = state(&StateEventType::RoomPowerLevels, "").map(RoomPowerLevelsEvent::new);
    let power = sender_power(event, &create, levels.as_ref()).ok()?;
    let power = match power {
        UserPowerLevel::Int(level) => level.to_string(),
        _ => "infinite".to_owned(),
    };
    Some(format!(
        " (the sender's membership is {membership}, their power level {power})"
    ))
}

/// The power level of `event`'s sender by the given create and power levels events.
pub(crate) fn sender_power(
    event: &Pdu,
    create: &RoomCreateEvent<Arc<Pdu>>,
    levels: Option<&RoomPowerLevelsEvent<Arc<Pdu>>>,
) -> Result<UserPowerLevel, String> {
    let rules = event.rules().authorization();
    let created = create.creators(rules)?.contains(event.sender());
    match levels {
        _ if created && rules.explicitly_privilege_room_creators => Ok(UserPowerLevel::Infinite),
        Some(levels) => Ok(levels.user_power_level(event.sender(), rules)?.into()),
        None => Ok(UserPowerLevel::Int(
            if created { CREATOR_POWER_DEFAULT } else { 0 }.into(),
        )),
    }
}
