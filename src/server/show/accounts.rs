//! Answers about accounts and registration tokens, in words and columns.

use super::columns;
use crate::{
    accounts::{Account, AccountAnswer, Change, RegistrationToken, State},
    message::Message,
    text::Text,
};

/// The answer for a terminal.
pub(super) fn in_words(answer: &AccountAnswer, text: &Text) -> String {
    use AccountAnswer::{
        Accounts, Changed, Created, Deactivated, PasswordReset, TokenCreated, TokenRevoked, Tokens,
    };
    match answer {
        Created { user_id, password } => {
            let password = password.as_ref().map(|password| password.0.as_str());
            secret("user-created", user_id, password, text)
        }
        PasswordReset { user_id, password } => {
            let password = password.as_ref().map(|password| password.0.as_str());
            secret("user-password-reset", user_id, password, text)
        }
        Changed { user_id, change } => {
            text.say(&Message::new(changed(*change)).with("name", user_id.as_str()))
        }
        TokenRevoked { token } => {
            text.say(&Message::new("token-revoked").with("token", token.as_str()))
        }
        Deactivated { user_id } => {
            text.say(&Message::new("user-deactivated").with("name", user_id.as_str()))
        }
        Accounts { accounts, more } => listed(&accounts_in_columns(accounts, text), *more, text),
        // Alone on its line, for scripts.
        TokenCreated { token } => token.clone(),
        Tokens { tokens, more } => listed(&tokens_in_columns(tokens, text), *more, text),
    }
}

/// What was done, and the password if it was made up.
fn secret(id: &'static str, user_id: &str, password: Option<&str>, text: &Text) -> String {
    let mut said = text.say(&Message::new(id).with("name", user_id));
    if let Some(password) = password {
        said.push('\n');
        said += &text.say(&Message::new("user-password").with("password", password));
    }
    said
}

fn changed(change: Change) -> &'static str {
    match change {
        Change::Lock => "user-locked",
        Change::Suspend => "user-suspended",
        Change::Restore => "user-restored",
        Change::Logout => "user-logged-out",
        Change::Promote => "user-promoted",
        Change::Demote => "user-demoted",
    }
}

fn listed(table: &str, more: bool, text: &Text) -> String {
    let mut said = table.trim_start_matches('\n').to_owned();
    if more {
        said.push('\n');
        said += &text.plain("list-more");
    }
    said
}

fn accounts_in_columns(accounts: &[Account], text: &Text) -> String {
    let heads = ["column-account", "column-role", "column-standing"];
    let mut lines = vec![heads.map(|head| text.plain(head))];
    lines.extend(accounts.iter().map(|account| {
        let state = match account.state {
            State::Active => "state-active",
            State::Suspended => "state-suspended",
            State::Locked => "state-locked",
            State::Deactivated => "state-deactivated",
        };
        [
            account.user_id.clone(),
            account.role.clone(),
            text.plain(state),
        ]
    }));
    columns(&lines)
}

fn tokens_in_columns(tokens: &[RegistrationToken], text: &Text) -> String {
    let heads = [
        "column-token",
        "column-role",
        "column-uses",
        "column-standing",
    ];
    let mut lines = vec![heads.map(|head| text.plain(head))];
    lines.extend(tokens.iter().map(|token| {
        let uses = match token.uses_allowed {
            Some(allowed) => format!("{}/{allowed}", token.uses),
            None => token.uses.to_string(),
        };
        let state = if token.good {
            "state-good"
        } else {
            "state-spent"
        };
        [
            token.token.clone(),
            token.role.clone(),
            uses,
            text.plain(state),
        ]
    }));
    columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::Password, text::Language};

    #[test]
    fn every_answer_has_words_in_every_language() {
        let user_id = || "@ada:a.example".to_owned();
        let mut answers = vec![
            AccountAnswer::Created {
                user_id: user_id(),
                password: Some(Password("pass1".to_owned())),
            },
            AccountAnswer::PasswordReset {
                user_id: user_id(),
                password: None,
            },
            AccountAnswer::Deactivated { user_id: user_id() },
            AccountAnswer::TokenRevoked { token: user_id() },
        ];
        let changes = [
            Change::Lock,
            Change::Suspend,
            Change::Restore,
            Change::Logout,
            Change::Promote,
            Change::Demote,
        ];
        answers.extend(changes.map(|change| AccountAnswer::Changed {
            user_id: user_id(),
            change,
        }));
        for language in Language::ALL {
            let text = Text::new(language);
            for answer in &answers {
                let said = in_words(answer, &text);
                assert!(said.contains("@ada:a.example"), "{said}");
                assert!(!said.contains("user-"), "{said}");
            }
            assert!(in_words(&answers[0], &text).contains("pass1"));
        }
    }

    #[test]
    fn lists_come_in_columns_and_say_if_there_is_more() {
        let states = [
            State::Active,
            State::Suspended,
            State::Locked,
            State::Deactivated,
        ];
        let account = |state| Account {
            user_id: "@ada:a.example".to_owned(),
            role: "member".to_owned(),
            state,
            created_ts: 0,
        };
        let answer = AccountAnswer::Accounts {
            accounts: states.map(account).into(),
            more: true,
        };
        let said = in_words(&answer, &Text::new(Language::English));
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], "Account           Role        State");
        assert_eq!(lines[2], "@ada:a.example  member    suspended");
        assert_eq!(lines.len(), 1 + states.len() + 1);
        let token = |good: bool| RegistrationToken {
            token: "abc".to_owned(),
            role: "admin".to_owned(),
            uses: 1,
            uses_allowed: (!good).then_some(1),
            good,
        };
        let answer = AccountAnswer::Tokens {
            tokens: vec![token(true), token(false)],
            more: false,
        };
        let said = in_words(&answer, &Text::new(Language::English));
        let lines: Vec<_> = said.lines().map(str::split_whitespace).collect();
        let lines: Vec<Vec<_>> = lines.into_iter().map(Iterator::collect).collect();
        assert_eq!(lines[1], ["abc", "admin", "1", "good"]);
        assert_eq!(lines[2], ["abc", "admin", "1/1", "spent"]);
    }

    #[test]
    fn a_new_token_stands_alone_for_scripts() {
        let token = "abc".to_owned();
        let answer = AccountAnswer::TokenCreated { token };
        assert_eq!(in_words(&answer, &Text::new(Language::French)), "abc");
    }
}
