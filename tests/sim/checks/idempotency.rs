//! Idempotency: one transaction makes at most one event, and every answer to it names that event.
//!
//! Clients send again whatever they have no answer to, at once or after days; a second event is a
//! message that everybody reads twice. Requests without a transaction ID may lead to one event each
//! time that they are made, and not to more.

use std::collections::BTreeSet;

use super::{Evidence, Voice};

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let by_mark = evidence.view.by_mark();
    for op in &evidence.history.ops {
        let made = by_mark.get(op.mark.as_str()).map_or(0, Vec::len);
        let answers: BTreeSet<_> = op.events().map(|(_, event)| event).collect();
        if op.act.has_txn() {
            voice.expect(made <= 1, || {
                format!("{}: one transaction made {made} events", op.mark)
            });
            voice.expect(answers.len() <= 1, || {
                format!("{}: one transaction was answered {answers:?}", op.mark)
            });
        }
        voice.expect(made <= op.asks.len(), || {
            format!("{}: asked {} times, made {made}", op.mark, op.asks.len())
        });
    }
}
