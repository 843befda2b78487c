//! A room's state as values: immutable trees of small nodes, named by a root hash.
//!
//! It exists so that keeping the state before every event costs what changed, not what the room
//! holds: applying k changes to n entries writes O(k log n) bytes, comparing two states reads what
//! differs, and equal states have equal roots whatever way led there. Sizes were chosen by
//! measurement, see `docs/adr/0004-state-representation.md`. It knows nothing of events but their
//! hashes, nothing of auth rules, and decides nothing about which state is right.
//!
//! A state map's entries are placed by the SHA-256 of (type, state key), three bits a level. A
//! subtree is one leaf if its entries fit into [`LEAF_BYTES_MAX`], else an inner node with up to
//! eight subtrees. That rule depends on nothing but the entries, so the shape does neither.
//!
//! A worker gathers nodes into a [`WorkingSet`] (async, one round trip a level), reads and changes
//! states there (pure, [`StateError::Missing`] names what is to be gathered), and writes the new
//! nodes that the roots it keeps need. Nodes that no root needs any more are found by [`Sweep`].

mod diff;
mod edit;
mod gather;
mod node;
mod path;
mod sweep;
mod tuple;
mod working;

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod gather_tests;
#[cfg(test)]
mod sweep_tests;

pub use diff::{Change, DiffPage};
pub use gather::{GATHER_ROUNDS_MAX, StatePage, StateReader};
#[cfg(test)]
pub(crate) use node::Inner;
pub use node::{Entry, LEAF_BYTES_MAX, NODE_BYTES_MAX, NODE_HASH_BYTES, NodeHash, Root};
pub(crate) use node::{Node, Size};
pub use path::Path;
pub use sweep::{MARKS_MAX, Sweep, SweepError, SweepStep};
pub use tuple::{NAME_BYTES_MAX, NameTooLong, StateTuple};
pub use working::{Changes, StateError, WORKING_SET_BYTES_MAX, WorkingSet};
