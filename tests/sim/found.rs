//! Seeds that found something, each named after it.
//!
//! It exists so that what was found once is looked for first, even where chance has moved on: a
//! seed means the same run only until somebody changes what is drawn. Each has a plain test beside
//! the code that was wrong, which is what holds it for good.

use crate::seeds::run_seed;

/// The state could not be read for a moment, or the snapshot expired; clients were told of an
/// internal fault (500) instead of being asked to try again (503).
#[test]
fn a_read_that_fails_while_state_is_gathered_is_no_fault() {
    for seed in [5, 10] {
        run_seed(seed);
    }
}

/// The disk failed during a sync; the request was planned again and refused, because reads failed
/// too; the client was told that nothing was done, and after the restart it was.
#[test]
fn a_refusal_after_an_unknown_outcome_is_not_certain() {
    run_seed(134);
}
