//! The rows of every table: what a homeserver remembers, in the spec's terms.
//!
//! It exists so that what is on disk can be read in one place. It knows nothing of keys, nor of
//! what makes a row right; `check` does.

mod event;
mod federation;
mod meta;
mod room;
mod user;

pub use event::{Acceptance, EdgeRow, EventRow, GapRow, LogRow};
pub use federation::{InboundTxnRow, StagedRow};
pub use meta::{CURSOR_RESUME_BYTES_MAX, CursorRow};
pub(crate) use meta::{MetaRow, MigrationRow};
pub use room::{
    CurrentRow, CurrentState, EXTREMITIES_MAX, EpochRow, EpochStage, GlobalRow, MemberCounts,
    RoomHead,
};
pub use user::{LocalMemberRow, Membership, TxnRow, UserRoomRow};
