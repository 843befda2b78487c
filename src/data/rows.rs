//! The rows of every table: what a homeserver remembers, in the spec's terms.
//!
//! It exists so that what is on disk can be read in one place. It knows nothing of keys, nor of
//! what makes a row right; `check` does.

mod event;
mod federation;
mod meta;
mod room;
mod user;

pub(crate) use event::{CiterRow, EdgeRow, GapRow, LogRow};
pub use event::{EventRow, Verdict};
pub use federation::{InboundTxnRow, StagedRow};
pub use meta::{CURSOR_RESUME_BYTES_MAX, CursorRow};
pub(crate) use meta::{MetaRow, MigrationRow};
pub(crate) use room::{CurrentRow, GlobalRow};
pub use room::{CurrentState, EXTREMITIES_MAX, EpochRow, EpochStage, MemberCounts, RoomHead};
pub(crate) use user::{LocalMemberRow, TxnRow};
pub use user::{Membership, UserRoomRow};
