//! Calm: without faults nobody is asked to try again, and nobody is left without an answer.
//!
//! A server that answers 503 to be safe passes every other check.

use super::{Evidence, Voice};
use crate::door::Answer;

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    if !evidence.plan.is_calm() {
        return;
    }
    for op in &evidence.history.ops {
        for (_, answer) in op.answers() {
            let clear = matches!(answer, Answer::Done(_) | Answer::Refused(_));
            // Nobody waits for the server to start.
            let clear = clear || *answer == Answer::Unreached;
            voice.expect(clear, || {
                format!("{}: told {answer:?} in fair weather", op.mark)
            });
        }
    }
}
