//! User-interactive authentication from the side of accounts: which flows an operation offers, and
//! whether what somebody sent proves a stage.

use std::collections::BTreeSet;

use ruma_common::UserId;

use crate::{
    Registration, Users,
    fault::Fault,
    session::SignInError,
    uia::{Operation, Progress, SessionError, Stage},
};

/// What a client sends to prove a stage.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// The session; `None` begins one.
    pub session: Option<String>,
    /// `None` only asks how far the session is.
    pub proof: Option<Proof>,
}

/// One stage's evidence.
#[derive(Clone)]
pub enum Proof {
    /// A name or user ID, and the password.
    Password(String, String),
    /// A registration token.
    RegistrationToken(String),
    /// Nothing.
    Dummy,
    /// A stage that this server does not know.
    Unknown,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(..)")
    }
}

impl Proof {
    fn stage(&self) -> Option<Stage> {
        match self {
            Self::Password(..) => Some(Stage::Password),
            Self::RegistrationToken(_) => Some(Stage::RegistrationToken),
            Self::Dummy => Some(Stage::Dummy),
            Self::Unknown => None,
        }
    }
}

/// Whether the operation may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A flow is complete: do it, then [`Users::finish_proof`] this session.
    Proven {
        /// The session.
        session: String,
        /// The registration token that was shown, if one was.
        token: Option<String>,
    },
    /// More is to be proven.
    Challenge(Challenge),
}

/// What is left to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The session to go on with.
    pub session: String,
    /// Each a list of stages, any of which will do.
    pub flows: Vec<Vec<Stage>>,
    /// Stages proven.
    pub completed: BTreeSet<Stage>,
    /// Why the last attempt proved nothing.
    pub objection: Option<Objection>,
}

/// Why an attempt proved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// Wrong name or password.
    WrongPassword,
    /// Not a registration token, or one that is used up or expired.
    WrongToken,
    /// No flow has this stage.
    NotOffered,
    /// There is no such session, or no longer: another was begun.
    UnknownSession,
}

/// Why there is not even a challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UiaError {
    /// The session was opened for another operation.
    #[error("the operation changed during authentication; begin it anew")]
    OtherOperation,
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl Users {
    /// Looks at an attempt to prove that somebody may do this operation.
    pub async fn prove(
        &self,
        operation: &Operation,
        attempt: &Attempt,
    ) -> Result<Outcome, UiaError> {
        let (progress, lost) = self.resume_or_open(operation, attempt.session.as_deref())?;
        let flows = self.flows(operation);
        let Some(proof) = attempt.proof.as_ref().filter(|_| !lost) else {
            let objection = lost.then_some(Objection::UnknownSession);
            return Ok(self.judge(progress, flows, objection));
        };
        let offered = proof.stage().filter(|stage| flows.concat().contains(stage));
        let Some(stage) = offered else {
            return Ok(self.judge(progress, flows, Some(Objection::NotOffered)));
        };
        if let Some(objection) = self.verify(operation, proof).await? {
            return Ok(self.judge(progress, flows, Some(objection)));
        }
        let token = match proof {
            Proof::RegistrationToken(token) => Some(token.clone()),
            _ => None,
        };
        self.sessions().complete(&progress.session, stage, token);
        let (progress, _) = self.resume_or_open(operation, Some(&progress.session))?;
        Ok(self.judge(progress, flows, None))
    }

    /// Closes the session of an operation that was done: it is good for one.
    pub fn finish_proof(&self, session: &str) {
        self.sessions().close(session);
    }

    /// The session, and whether it had to be begun although another was named.
    fn resume_or_open(
        &self,
        operation: &Operation,
        session: Option<&str>,
    ) -> Result<(Progress, bool), UiaError> {
        let now = self.0.env.clock.now();
        let mut sessions = self.sessions();
        match session.map(|session| sessions.resume(session, operation, now)) {
            Some(Ok(progress)) => Ok((progress, false)),
            Some(Err(SessionError::OtherOperation)) => Err(UiaError::OtherOperation),
            Some(Err(SessionError::Unknown)) => Ok((sessions.open(operation.clone(), now), true)),
            None => Ok((sessions.open(operation.clone(), now), false)),
        }
    }

    /// A token is followed by a stage that proves nothing: clients that know servers of the field
    /// expect to be asked for one more (nio's `register_with_token`), the others do it by themselves.
    fn flows(&self, operation: &Operation) -> Vec<Vec<Stage>> {
        let flow = match operation {
            Operation::Register if self.0.options.registration == Registration::Open => {
                vec![Stage::Dummy]
            }
            Operation::Register => vec![Stage::RegistrationToken, Stage::Dummy],
            Operation::ChangePassword(_)
            | Operation::Deactivate(_)
            | Operation::DeleteDevices(..)
            | Operation::ReplaceSigningKeys(_) => vec![Stage::Password],
        };
        vec![flow]
    }

    fn judge(
        &self,
        progress: Progress,
        flows: Vec<Vec<Stage>>,
        objection: Option<Objection>,
    ) -> Outcome {
        let done = |flow: &Vec<Stage>| flow.iter().all(|stage| progress.completed.contains(stage));
        if flows.iter().any(done) {
            let token = self.sessions().token(&progress.session);
            return Outcome::Proven {
                session: progress.session,
                token,
            };
        }
        Outcome::Challenge(Challenge {
            session: progress.session,
            flows,
            completed: progress.completed,
            objection,
        })
    }

    async fn verify(
        &self,
        operation: &Operation,
        proof: &Proof,
    ) -> Result<Option<Objection>, UiaError> {
        match proof {
            Proof::Password(name, password) => {
                let proven = self.verify_password(name, password).await;
                let right = match proven {
                    Ok(user_id) => subject(operation) == Some(&*user_id),
                    Err(SignInError::Fault(fault)) => return Err(fault.into()),
                    Err(_) => false,
                };
                Ok((!right).then_some(Objection::WrongPassword))
            }
            Proof::RegistrationToken(token) => {
                let good = self.is_invitation_good(token).await?;
                Ok((!good).then_some(Objection::WrongToken))
            }
            Proof::Dummy => Ok(None),
            Proof::Unknown => Ok(Some(Objection::NotOffered)),
        }
    }
}

/// Whose password proves it.
fn subject(operation: &Operation) -> Option<&UserId> {
    match operation {
        Operation::Register => None,
        Operation::ChangePassword(user_id)
        | Operation::Deactivate(user_id)
        | Operation::DeleteDevices(user_id, _)
        | Operation::ReplaceSigningKeys(user_id) => Some(user_id),
    }
}
