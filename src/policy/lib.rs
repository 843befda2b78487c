//! Who may do what, where: every endpoint and every flow asks here before it acts.
//!
//! [`decide`] is a pure function of the rules (data that an administration edits) and the request
//! (facts that the caller has read). It knows nothing of storage, HTTP or time, nor of what a room's
//! power levels say: those are the room's own rules, and both must agree to an act.
//!
//! A request is allowed if somebody grants it (the requester's role, or the other server's rights)
//! and no rule objects. Rules are asked in the order of [`RULES`]; the first objection decides.

mod denial;
mod invitation;
mod objection;
mod partners;
mod request;
mod rules;

#[cfg(test)]
mod decision_tests;
#[cfg(test)]
mod suspension_tests;

pub use denial::{Code, Denial};
pub use invitation::{
    Admission, INVITE_PERMISSION_ENTRIES_MAX, INVITE_PERMISSION_TYPES, InvitePermission,
};
pub use objection::{RULES, Rule};
pub use partners::{PARTNERS_MAX, Partners};
pub use request::{Account, Action, Direction, Peer, Purpose, Request, Requester, Room, Standing};
pub use rules::{ADMIN, DEFAULT_CLASS, MEMBER, Problem, Role, RoomClass, Rules, ServerRights};

/// The answer to a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on; the room's own rules still apply.
    Allow,
    /// Stop, and say why.
    Deny(Denial),
}

impl Decision {
    /// `Err` if denied, for `?`.
    pub fn into_result(self) -> Result<(), Denial> {
        match self {
            Self::Allow => Ok(()),
            Self::Deny(denial) => Err(denial),
        }
    }
}

/// Whether the request may go on.
pub fn decide(rules: &Rules, request: &Request<'_>) -> Decision {
    RULES
        .iter()
        .find_map(|rule| (rule.objection)(rules, request))
        .map_or(Decision::Allow, Decision::Deny)
}

/// One rule's opinion, as [`explain`] shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    /// The rule's name.
    pub rule: &'static str,
    /// Why it objects; `None` if it does not.
    pub objection: Option<Denial>,
}

/// What every rule says, in the order asked; the first objection is what [`decide`] answers.
pub fn explain(rules: &Rules, request: &Request<'_>) -> Vec<Opinion> {
    let opinion = |rule: &Rule| Opinion {
        rule: rule.name,
        objection: (rule.objection)(rules, request),
    };
    RULES.iter().map(opinion).collect()
}
