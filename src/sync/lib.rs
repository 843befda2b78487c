//! Rooms as clients see them: what is new, what was, and how things stand.
//!
//! It exists so that everything a client reads of rooms goes by one set of rules: one place decides
//! who sees an event, one writes it. All of it reads snapshots; what is written are rows that follow
//! from others (the directories, counts). It knows nothing of who wrote the log, of HTTP, and of
//! whether the server's policy lets somebody read at all: that is asked before.
//!
//! # The way of a `/sync`
//!
//! [`Views::sync`] subscribes to the user's channel (`notifier`), *then* takes a snapshot, and reads
//! the server's log as far as the snapshot goes, if nobody else has. The user's ring names the rooms
//! that changed since the client's token; where it does not reach back that far, the rooms' tails do
//! (`plan`). Each such room is viewed at one place in the log (`room_view`) and told (`joined`,
//! `departed`, `stripped`): a window of its newest events (`window`), seen through the reader's eyes
//! (`sight`), and what its state has that the client's has not (`delta`, `state_section`). If nothing
//! is to be told, the request waits on its channel.

mod absence;
mod account_changes;
mod admission;
mod aggregation;
mod audience;
mod counts;
mod delta;
mod departed;
mod device_list;
mod directory;
mod encryption;
mod ephemeral;
mod erasure;
mod error;
mod event;
mod facts;
mod field;
mod filter;
mod fold;
mod foreign;
mod foreign_note;
mod ignored;
mod joined;
mod json;
mod member_rules;
mod news;
mod note_trim;
mod notifier;
mod parsed;
mod passing;
mod plan;
mod presence;
mod presentation;
mod projection;
mod projector;
mod push;
mod read;
mod relation;
mod response;
mod ring;
mod room_view;
mod sections;
mod sent;
mod shared_news;
mod sight;
mod sliding;
mod state_section;
mod stripped;
mod summary;
mod sync;
mod thread_rules;
mod token;
mod turn;
mod unread;
mod unsigned;
mod views;
mod window;

#[cfg(test)]
mod about_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod graph_fixture;
#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod lazy_tests;
#[cfg(test)]
mod membership_tests;
#[cfg(test)]
mod note_tests;
#[cfg(test)]
mod notifier_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod slide_fold_tests;
#[cfg(test)]
mod sync_tests;
#[cfg(test)]
mod trimmed_tests;
#[cfg(test)]
mod visibility_tests;

pub use absence::{PRESENCE_LIFE, PRESENCE_LOOK_EVERY, PRESENT_MAX};
pub use aggregation::{
    REFERENCES_MAX, REFERENCES_PER_PAGE_MAX, THREAD_STEPS_MAX, THREADS_WALKED_MAX,
};
pub use audience::AUDIENCE_USERS_MAX;
pub use belfry_data::Membership;
pub use counts::LATE_ROOMS_MAX;
pub use delta::{GAP_EVENTS_MAX, STATE_CHANGES_MAX};
pub use directory::DIRECTORY_MARKS_MAX;
pub use encryption::{
    CO_MEMBERS_MAX, DEVICE_LIST_ENTRIES_MAX, DEVICE_LIST_LOOKS_MAX, TO_DEVICE_ANSWER_BYTES_MAX,
    TO_DEVICE_MESSAGES_MAX,
};
pub use ephemeral::RECEIPTS_TOLD_MAX;
pub use error::{Fault, ViewError};
pub use facts::FACTS_MAX;
pub use filter::{FILTER_BYTES_MAX, Filter, FilterError, RELATED_BY_MAX, RoomEventFilter};
pub use ignored::IGNORED_REMEMBERED_MAX;
pub use json::EventList;
pub use member_rules::RULE_BOOK_MAX;
pub use note_trim::{NOTES_KEPT, NOTES_LOOKED_AT_MAX, TRIM_NOTES_EVERY};
pub use notifier::{EMPTIED_DEVICES_MAX, RINGS_MAX, WAITING_MAX, WAITING_PER_USER_MAX};
pub use parsed::{FILTER_REMEMBERED_BYTES_MAX, FILTERS_REMEMBERED_MAX};
pub use passing::{TRIM_EVERY, TYPING_ROOMS_MAX};
pub use plan::USER_ROOMS_MAX;
pub use presence::{PRESENCE_ROOMS_MAX, PRESENCE_TOLD_MAX, Presence};
pub use push::{
    BADGE_NOTES_MAX, GATES_MAX, Gateway, GatewayError, PUSH_AGE_MAX, PUSH_PAUSE_MAX,
    PUSHED_AT_ONCE_MAX, PUSHES_PER_TURN_MAX, REFUSALS_MAX,
};
pub use read::{
    Closest, Context, ContextRequest, Direction, FarRoom, HIERARCHY_DEPTH_MAX, HIERARCHY_ROOMS_MAX,
    HIERARCHY_VISITS_MAX, Hierarchy, HierarchyRequest, MOMENTS_SCAN_MAX, MUTUAL_ROOMS_MAX,
    MembersFilter, MembersRequest, Messages, MessagesRequest, MissingRoom, MomentRequest,
    MutualRooms, NOTIFICATIONS_MAX, NotificationsRequest, PAGE_EVENTS_MAX, PUBLIC_ROOMS_MAX,
    PublicRooms, PublicRoomsRequest, RECURSED_MAX, RECURSION_DEPTH, RELATIONS_MAX, Relations,
    RelationsRequest, RoomSummary, SERVED_CHILDREN_MAX, StateFormat, THREADS_MAX, Threads,
    ThreadsRequest, USERS_FOUND_MAX, UserSearch, UsersFound,
};
pub use response::{JoinedRoom, LeftRoom, StateSection, SyncResponse, Timeline};
pub use ring::RING_ROOMS_MAX;
pub use room_view::STATE_ENTRIES_MAX;
pub use sections::{DeviceLists, Sections};
pub use sent::{SENT_MAX, SENT_TO_DEVICE_MAX};
pub use shared_news::{SHARED_NEWS_AGE_MS_MAX, SHARED_NEWS_MAX};
pub use sight::MEMBERSHIP_STEPS_MAX;
pub use sliding::{
    CONNECTION_NAME_BYTES_MAX, DEPARTURES_MAX, ExtensionAnswers, Extensions, FILTER_NAMES_MAX,
    Hero, LISTS_MAX, Label, ListFilters, ListRequest, PROFILE_FIELDS_MAX, PROFILES_BYTES_MAX,
    PROFILES_MAX, ProfilesRequest, REQUIRED_STATE_MAX, RoomDetails, SUBSCRIPTIONS_ACCEPTED_MAX,
    SUBSCRIPTIONS_MAX, Scope, Shape, SlidingRequest, SlidingResponse, SlidingRoom, StatePattern,
    StateSet, THREAD_SUBSCRIPTIONS_MAX, ThreadSubscriptionsRequest, ToDeviceRequest,
};
pub use summary::{HERO_CANDIDATES_MAX, HEROES_MAX, Summary};
pub use sync::{SyncRequest, TIMEOUT_MAX};
pub use token::{TOKEN_BYTES_MAX, TokenError};
pub use turn::TIMELINE_MAX;
pub use unread::{COUNTED_MAX, Count, Unread};
pub use views::{PROJECTOR_WAIT_MAX, Views};
pub use window::WINDOW_SCAN_MAX;
