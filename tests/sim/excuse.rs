//! Which warnings and errors a fault that was injected explains.
//!
//! It exists so that a line in the log without a cause is a complaint. It knows nothing of how
//! lines are come by.

use crate::plan::Plan;

/// What is logged about a database that does not answer or take writes.
const OF_THE_DATABASE: [&str; 8] = [
    "a commit's outcome is not known",
    "a read was made to fail",
    "the snapshot has expired",
    "the server's age was not stored",
    "expired rows were not removed",
    "a room's chore was not done",
    "rooms were not looked after",
    "the database takes no writes",
];

/// Whether the plan of the run has what the line tells of.
pub(crate) fn excused(line: &str, plan: &Plan) -> bool {
    if line.contains("the wall clock was set") {
        return !plan.jumps.is_empty();
    }
    let told = OF_THE_DATABASE.iter().any(|told| line.contains(told));
    told && !plan.is_calm()
}

#[test]
fn without_a_fault_nothing_is_excused() {
    let mut plan = (0..1_000).map(Plan::of).find(Plan::is_calm).unwrap();
    plan.jumps.clear();
    for line in OF_THE_DATABASE {
        assert!(!excused(line, &plan));
    }
    assert!(!excused("the wall clock was set", &plan));
}
