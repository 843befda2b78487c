//! What is read of one room on request: history, single events, state, members.
//!
//! It exists so that every such request enters the room by one door, which says what the reader may
//! see of it. It knows nothing of waiting for what is new.

mod access;
mod context;
mod event;
mod members;
mod messages;
mod room_summary;
mod state;

pub use context::{Context, ContextRequest};
pub use members::{MembersFilter, MembersRequest};
pub use messages::{Direction, Messages, MessagesRequest, PAGE_EVENTS_MAX};
pub use room_summary::RoomSummary;
pub use state::StateFormat;
