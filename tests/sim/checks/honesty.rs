//! Honesty: who was told that nothing was done finds nothing done, nothing comes from nowhere, and
//! nobody is told of a fault that nobody injected.
//!
//! After a refusal a client shows an error and the user writes the message anew.

use std::collections::BTreeSet;

use super::{Evidence, Voice};
use crate::door::Answer;

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let by_mark = evidence.view.by_mark();
    for op in &evidence.history.ops {
        let made = by_mark.get(op.mark.as_str()).map_or(0, Vec::len);
        let possible = op.possible();
        voice.expect(made <= possible, || {
            format!(
                "{}: {} of {} requests were refused, and yet {made} were done",
                op.mark,
                op.asks.len() - possible,
                op.asks.len()
            )
        });
        for (_, answer) in op.answers() {
            if let Answer::Broken(error) = answer {
                voice.complain(format!("{}: told {error:?}", op.mark));
            }
        }
    }
    let ops = evidence.history.ops.iter();
    let marks: BTreeSet<_> = ops.map(|op| op.mark.as_str()).collect();
    for (mark, events) in by_mark {
        let (_, event) = events[0];
        voice.expect(marks.contains(mark), || {
            format!("nobody asked for {:?}, marked {mark}", event.pdu.hash())
        });
    }
}
