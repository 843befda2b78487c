//! Events as answers show them: in the client format with what `unsigned` adds for one reader.
//!
//! It exists so that each event is written once, straight into the answer, and what others it
//! mentions (redactions, replaced state) is read together. It knows nothing of which events are
//! shown.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{Membership, OriginRow};
use belfry_event::{ClientFormat, EventHash};

use crate::{
    aggregation::Aggregations,
    erasure::cover,
    error::Fault,
    event::RoomEvent,
    facts::Facts,
    field::{FieldPath, pruned},
    filter::{EventFormat, Filter},
    json::{EventList, Object},
    room_view::RoomView,
    sight::{Eyes, Sight},
    unsigned::{Origins, write_origin},
};

/// Events read at once where a whole state is shown.
const STATE_CHUNK: usize = 500;

/// How the events of an answer are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'a> {
    /// Milliseconds since the Unix epoch, for `age`.
    pub(crate) now_ms: u64,
    /// Whether `room_id` is written: not where the answer says it around the event.
    pub(crate) room_id: bool,
    /// Of a filter.
    pub(crate) fields: Option<&'a [FieldPath]>,
    /// Of a filter.
    pub(crate) format: EventFormat,
    /// Whether timelines tell what relates to their events.
    pub(crate) bundles: bool,
}

impl<'a> Style<'a> {
    /// With the room's ID, for answers about one room.
    pub(crate) fn full(now_ms: u64) -> Self {
        Self {
            now_ms,
            room_id: true,
            fields: None,
            format: EventFormat::Client,
            bundles: true,
        }
    }

    /// The same, with or without what relates to the events of timelines.
    pub(crate) fn bundling(mut self, bundles: bool) -> Self {
        self.bundles = bundles;
        self
    }

    /// For `/sync`.
    pub(crate) fn of_filter(filter: &'a Filter, now_ms: u64) -> Self {
        Self {
            now_ms,
            room_id: false,
            fields: filter.event_fields.as_deref(),
            format: filter.event_format,
            bundles: false,
        }
    }

    fn write(&self, event: &RoomEvent, unsigned: &Unsigned<'_>, out: &mut String) {
        if self.format == EventFormat::Federation {
            return out.push_str(event.pdu.json());
        }
        let Some(fields) = self.fields else {
            return self.write_whole(event, unsigned, out);
        };
        let mut whole = String::new();
        self.write_whole(event, unsigned, &mut whole);
        out.push_str(&pruned(&whole, fields));
    }

    /// In the client format, whatever a filter says.
    pub(crate) fn write_whole(&self, event: &RoomEvent, unsigned: &Unsigned<'_>, out: &mut String) {
        let format = ClientFormat {
            room_id: self.room_id,
            unsigned: None,
        };
        event.pdu.write_client_json(format, out);
        let mut object = Object::reopen(out);
        self.write_unsigned(event, unsigned, object.member("unsigned"));
        object.end();
    }

    fn write_unsigned(&self, event: &RoomEvent, unsigned: &Unsigned<'_>, out: &mut String) {
        let mut object = Object::new(out);
        let sent_ms = i128::from(u64::from(event.pdu.origin_server_ts().get()));
        object.plain("age", i128::from(self.now_ms) - sent_ms);
        if let Some(membership) = unsigned.membership {
            object.string("membership", membership.name());
        }
        if let Some(replaced) = unsigned.replaces {
            let alphabet = event.pdu.rules().alphabet();
            object.string("replaces_state", replaced.to_event_id(alphabet).as_str());
        }
        if let Some(replaced) = unsigned.replaced {
            let content = replaced.pdu.content_json();
            object.member("prev_content").push_str(content);
        }
        if let Some(redaction) = unsigned.redacted_because {
            let out = object.member("redacted_because");
            self.write_whole(redaction, &Unsigned::default(), out);
        }
        if let Some(origin) = unsigned.origin {
            write_origin(origin, &mut object);
        }
        if let Some(related) = unsigned.related {
            related.write(self, event.hash(), unsigned.nested, &mut object);
        }
        object.end();
    }
}

/// What is said of an event beside it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unsigned<'a> {
    membership: Option<Membership>,
    replaces: Option<EventHash>,
    /// The same, if the reader may see it.
    replaced: Option<&'a RoomEvent>,
    redacted_because: Option<&'a RoomEvent>,
    /// The reader's request that made the event.
    origin: Option<&'a OriginRow>,
    /// What relates to the event, if that is told.
    related: Option<&'a Aggregations>,
    /// Whether the event is itself told of as the end of a thread.
    nested: bool,
}

impl<'a> Unsigned<'a> {
    /// Nothing but what relates to the end of a thread.
    pub(crate) fn of_latest(aggregations: &'a Aggregations) -> Self {
        Self {
            related: Some(aggregations),
            nested: true,
            ..Self::default()
        }
    }
}

/// Events that others mention, those that the reader sees.
#[derive(Debug, Default)]
struct Mentioned(BTreeMap<EventHash, RoomEvent>);

impl Mentioned {
    async fn read(
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        hashes: BTreeSet<EventHash>,
    ) -> Result<Self, Fault> {
        if hashes.is_empty() {
            return Ok(Self::default());
        }
        let hashes: Vec<_> = hashes.into_iter().collect();
        let events = view.events(&hashes).await?;
        let sights = eyes.look(view, facts, &events).await?;
        let seen = events.into_iter().zip(sights);
        let seen = seen.filter(|(_, sight)| sight.visible);
        Ok(Self(seen.map(|(event, _)| (event.hash(), event)).collect()))
    }

    fn get(&self, hash: Option<EventHash>) -> Option<&RoomEvent> {
        self.0.get(&hash?)
    }
}

/// A run of a timeline, as this reader sees it.
pub(crate) async fn timeline(
    view: &mut RoomView<'_>,
    facts: &Facts,
    eyes: &Eyes,
    style: Style<'_>,
    events: &[(RoomEvent, Sight)],
) -> Result<EventList, Fault> {
    let mentioned = events
        .iter()
        .flat_map(|(event, sight)| [event.redacted_by(), sight.replaces]);
    let mentioned = mentioned.flatten().collect();
    let mentioned = Mentioned::read(view, facts, eyes, mentioned).await?;
    let related = if style.bundles {
        let shown: Vec<_> = events.iter().map(|(event, _)| event).collect();
        Aggregations::read(view, facts, eyes, &shown).await?
    } else {
        Aggregations::default()
    };
    let origins = Origins::read(view, eyes, events.iter().map(|(event, _)| event)).await?;
    let covered = cover(view, eyes, events).await?;
    let mut list = EventList::default();
    for (place, (event, sight)) in events.iter().enumerate() {
        let event = covered.get(&place).unwrap_or(event);
        let unsigned = Unsigned {
            origin: origins.get(event.hash()),
            membership: Some(sight.membership),
            replaces: sight.replaces,
            replaced: mentioned.get(sight.replaces),
            redacted_because: mentioned.get(event.redacted_by()),
            related: Some(&related),
            nested: false,
        };
        list.push(|out| style.write(event, &unsigned, out));
    }
    Ok(list)
}

/// State events, those that `keep` keeps. They say nothing of what they replaced, nor of the reader:
/// that would take a look at another state for each of them.
pub(crate) async fn state(
    view: &mut RoomView<'_>,
    facts: &Facts,
    eyes: &Eyes,
    style: Style<'_>,
    hashes: &[EventHash],
    keep: impl Fn(&RoomEvent) -> bool,
) -> Result<EventList, Fault> {
    let mut list = EventList::default();
    for chunk in hashes.chunks(STATE_CHUNK) {
        let events = view.events(chunk).await?;
        let events: Vec<_> = events.into_iter().filter(&keep).collect();
        let redactions = events.iter().filter_map(RoomEvent::redacted_by).collect();
        let redactions = Mentioned::read(view, facts, eyes, redactions).await?;
        for event in &events {
            let unsigned = Unsigned {
                redacted_because: redactions.get(event.redacted_by()),
                ..Unsigned::default()
            };
            list.push(|out| style.write(event, &unsigned, out));
        }
    }
    Ok(list)
}
