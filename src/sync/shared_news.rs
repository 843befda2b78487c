//! What is new in a room for everybody alike who was in it all along: found and written once.
//!
//! It exists because a message in a room of a thousand wakes a thousand requests that are told the
//! same of it. Whatever could differ between two of them (own events, ignored users, state that
//! changed, events that only some see, gaps) is left to be told one by one. It knows nothing of what
//! is a reader's own: counts, account data, receipts.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use belfry_data::{Membership, RoomReader, Snapshot, Stamp, keys::member_changes};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId};
use tokio::sync::OnceCell;

use crate::{
    error::Fault,
    event::RoomEvent,
    facts::Fact,
    filter::Filter,
    joined::{Candidate, Told},
    json::EventList,
    presentation,
    response::Timeline,
    room_view::RoomView,
    sight::{Eyes, member_tuple},
    state_section::StateUpdate,
    turn::{Turn, shown},
    window::Window,
};

/// Rooms' news that are remembered, each for one filter; the oldest are forgotten first.
pub const SHARED_NEWS_MAX: usize = 64;
/// For how long they are told, in milliseconds: their text says how old each event is.
pub const SHARED_NEWS_AGE_MS_MAX: u64 = 100;

/// The news of one server's rooms.
#[derive(Debug, Default)]
pub(crate) struct SharedNews(Mutex<VecDeque<Arc<Shown>>>);

/// What is new in a room between two places, for one filter.
#[derive(Debug)]
struct Shown {
    room: OwnedRoomId,
    since: Stamp,
    until: Stamp,
    filter: Filter,
    made_ms: u64,
    /// `None` if it is not the same for everybody.
    news: OnceCell<Option<News>>,
}

/// See the module.
#[derive(Debug)]
struct News {
    timeline: Timeline,
    /// Who is told otherwise.
    senders: BTreeSet<OwnedUserId>,
    /// The senders' member events, for clients that have not seen them, as far as they are wanted.
    members: Vec<(EventHash, Option<String>)>,
    /// Whether somebody typed or read.
    passed: bool,
}

/// Why no news were found.
enum Refusal {
    /// The reader's own event is among them.
    Own,
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

impl SharedNews {
    /// How many of the news that are remembered are the same for everybody.
    #[cfg(test)]
    pub(crate) fn told(&self) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.iter().filter_map(|one| one.news.get());
        told.flatten().count()
    }

    fn of(&self, turn: &Turn<'_>, room: &RoomId, since: Stamp) -> Arc<Shown> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let filter = &turn.request.filter;
        let known = all.iter().find(|one| {
            one.since == since
                && one.until == turn.until
                && one.room == room
                && turn.now_ms.abs_diff(one.made_ms) < SHARED_NEWS_AGE_MS_MAX
                && one.filter == *filter
        });
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let one = Arc::new(Shown {
            room: room.to_owned(),
            since,
            until: turn.until,
            filter: filter.clone(),
            made_ms: turn.now_ms,
            news: OnceCell::new(),
        });
        all.push_front(Arc::clone(&one));
        all.truncate(SHARED_NEWS_MAX);
        one
    }
}

impl Turn<'_> {
    /// What is new in the room, if it is the same for all who have been in it since; `None` if it
    /// is to be found for this reader alone.
    pub(crate) async fn shared_news(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
    ) -> Result<Option<Told>, Fault> {
        let shares = self.woken && !self.request.full_state && !self.ignored.any();
        let Some(since) = self.since.filter(|_| shares) else {
            return Ok(None);
        };
        if !self.was_member(snapshot, candidate, since).await? {
            return Ok(None);
        }
        let one = self.shared.news.of(self, &candidate.room, since);
        let find = || self.find_news(snapshot, &candidate.room, since);
        let news = match one.news.get_or_try_init(find).await {
            Ok(news) => news.as_ref(),
            Err(Refusal::Own) => None,
            Err(Refusal::Fault(fault)) => return Err(fault),
        };
        let news = news.filter(|news| !news.senders.contains(self.user()));
        Ok(news.map(|news| self.tell_news(news, since)))
    }

    /// Whether the user came before `since` and has been in the room from then on.
    async fn was_member(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
        since: Stamp,
    ) -> Result<bool, Fault> {
        let event = candidate.row.event;
        let reader = RoomReader::new(snapshot, &candidate.room);
        let facts = self.facts().of(&reader, &[event].into()).await?;
        let came = facts.get(&event).copied();
        Ok(candidate.row.membership == Membership::Join
            && matches!(came, Some(Fact::Member(_, at)) if at <= since.position))
    }

    async fn find_news(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        since: Stamp,
    ) -> Result<Option<News>, Refusal> {
        let view = RoomView::open(snapshot, room, self.until).await?;
        let present = |view: &RoomView<'_>| view.is_present() && view.head.rows().is_some();
        let Some(mut view) = view.filter(present) else {
            return Ok(None);
        };
        let eyes = Eyes::of_member(self.user());
        let window = self.window(&mut view, &eyes, since, None, room).await?;
        let senders: BTreeSet<_> = shown(&window)
            .map(|event| event.pdu.sender().to_owned())
            .collect();
        if senders.contains(self.user()) {
            return Err(Refusal::Own);
        }
        let came = member_changes(snapshot, &[room], since, self.until).await?;
        let same = came.iter().all(belfry_data::keys::MemberChanges::is_empty);
        if !same || !is_plain(&view, &window) {
            return Ok(None);
        }
        let base = self.base(&mut view, Some(since), &window).await?;
        let update = StateUpdate::read(self, &mut view, &eyes, room, &window, base).await?;
        if update.touches(|_| true) {
            return Ok(None);
        }
        let Some(members) = self.senders(&mut view, &eyes, room, &senders).await? else {
            return Ok(None);
        };
        Ok(Some(News {
            timeline: self.timeline(&mut view, &eyes, &window).await?,
            passed: self.shared.stirred_since(snapshot, room, since).await?,
            senders,
            members,
        }))
    }

    /// The member events of those who sent something, as the filter of state wants them; `None` if
    /// they are not the same for everybody.
    async fn senders(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        room: &RoomId,
        senders: &BTreeSet<OwnedUserId>,
    ) -> Result<Option<Vec<(EventHash, Option<String>)>>, Fault> {
        let filter = &self.request.filter.room.state;
        if !self.is_lazy() || !filter.wants_room(room) {
            return Ok(Some(Vec::new()));
        }
        let tuples = senders.iter().map(|sender| member_tuple(sender));
        let tuples = tuples.collect::<Result<Vec<_>, _>>()?;
        let found = view.pick(view.state, tuples).await?;
        let wanted = found
            .into_iter()
            .filter(|(tuple, _)| filter.wants_type(tuple.event_type()));
        let hashes: Vec<_> = wanted.map(|(_, event)| event).collect();
        let mut members = Vec::new();
        for event in view.events(&hashes).await? {
            if event.redacted_by().is_some() {
                return Ok(None);
            }
            let (facts, style, hash) = (self.facts(), self.style(), event.hash());
            let keep = |event: &RoomEvent| filter.wants(&event.pdu);
            let text = presentation::state(view, facts, eyes, style, &[hash], keep).await?;
            members.push((hash, (!text.is_empty()).then(|| text.into_text())));
        }
        Ok(Some(members))
    }

    fn tell_news(&self, news: &News, since: Stamp) -> Told {
        let mut state = EventList::default();
        if let Some(device) = self.device().filter(|_| !news.members.is_empty()) {
            let lacking = |(event, _): &&(EventHash, Option<String>)| !self.has(&device, *event);
            let lacking: Vec<_> = news.members.iter().filter(lacking).collect();
            for text in lacking.iter().filter_map(|(_, text)| text.as_ref()) {
                state.push(|out| out.push_str(text));
            }
            let lacking: Vec<_> = lacking.iter().map(|(event, _)| *event).collect();
            self.shared
                .sent
                .note(&device, &lacking, self.until.position);
        } else {
            for text in news.members.iter().filter_map(|(_, text)| text.as_ref()) {
                state.push(|out| out.push_str(text));
            }
        }
        Told {
            known: Some(since),
            whole: false,
            summary: None,
            state,
            timeline: news.timeline.clone(),
            passed: news.passed,
        }
    }
}

/// Whether all who are in the room see these events, and alike: none is state or redacted, and the
/// room's state was before each of them what it is now.
fn is_plain(view: &RoomView<'_>, window: &Window) -> bool {
    let plain = |event: &RoomEvent| {
        event.state_before() == view.state
            && event.pdu.state_key().is_none()
            && event.redacted_by().is_none()
    };
    let all = window.cut.events.len() == window.events.len();
    all && !window.limited && !window.skipped && shown(window).all(plain)
}
