//! What is read of one room on request: history, single events, state, members.
//!
//! It exists so that every such request enters the room by one door, which says what the reader may
//! see of it. It knows nothing of waiting for what is new.

mod access;
mod by_time;
mod context;
mod event;
mod hierarchy;
mod members;
mod messages;
mod mutual_rooms;
mod notifications;
mod public_rooms;
mod relations;
pub(crate) mod room_summary;
mod served_space;
mod space;
mod state;
mod threads;
mod user_search;

pub use by_time::{Closest, MOMENTS_SCAN_MAX, MomentRequest};
pub use context::{Context, ContextRequest};
pub use hierarchy::{
    HIERARCHY_DEPTH_MAX, HIERARCHY_ROOMS_MAX, HIERARCHY_VISITS_MAX, Hierarchy, HierarchyRequest,
    MissingRoom,
};
pub use members::{MembersFilter, MembersRequest};
pub(crate) use messages::related;
pub use messages::{Direction, Messages, MessagesRequest, PAGE_EVENTS_MAX};
pub use mutual_rooms::{MUTUAL_ROOMS_MAX, MutualRooms};
pub use notifications::{NOTIFICATIONS_MAX, NotificationsRequest};
pub use public_rooms::{PUBLIC_ROOMS_MAX, PublicRooms, PublicRoomsRequest};
pub use relations::{RECURSED_MAX, RECURSION_DEPTH, RELATIONS_MAX, Relations, RelationsRequest};
pub use room_summary::RoomSummary;
pub use served_space::SERVED_CHILDREN_MAX;
pub use space::FarRoom;
pub use state::StateFormat;
pub use threads::{THREADS_MAX, Threads, ThreadsRequest};
pub use user_search::{USERS_FOUND_MAX, UserSearch, UsersFound};
