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
    run_seed(5);
}

/// The disk failed during a sync; the request was planned again and refused, because reads failed
/// too; the client was told that nothing was done, and after the restart it was.
#[test]
fn a_refusal_after_an_unknown_outcome_is_not_certain() {
    run_seed(134);
}

/// The server was stopped while a commit was about to fail; a repetition of the transaction in it,
/// which had nothing to commit, was answered with the event that never was.
#[test]
fn a_stop_repeats_no_answer_that_did_not_come_true() {
    run_seed(72);
}

/// After the wall clock had been set back, new rooms were dated ahead of it.
#[test]
fn a_room_is_dated_by_the_clock_of_its_day() {
    for seed in [7, 17] {
        run_seed(seed);
    }
}
