//! The commands: the words of each, what it takes, and what is then to be done.
//!
//! It exists so that a new command is one entry. It knows nothing of how the command line is read.

use std::path::PathBuf;

use clap::ArgMatches;

use super::Command;
use crate::{
    accounts::{AccountRequest, Change},
    destinations::DestinationRequest,
    notices::NoticeRequest,
};

/// An argument that some command takes besides the global ones.
pub(super) enum Argument {
    /// `--json`
    Json,
    /// One path, required.
    Folder,
    /// One account, required.
    Name,
    /// One registration token, required.
    Token,
    /// What is to be said, required.
    Text,
    /// One other server, required.
    Server,
    /// `--after NAME`
    After,
    /// `--role ROLE`
    Role,
    /// `--password-stdin`
    PasswordStdin,
    /// `--erase`
    Erase,
    /// `--uses NUMBER`
    Uses,
    /// `--days NUMBER`
    Days,
}

/// A command: its words, its arguments, its value.
pub(super) struct Entry {
    pub(super) path: &'static [&'static str],
    pub(super) arguments: &'static [Argument],
    pub(super) command: fn(&ArgMatches) -> Command,
}

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        path: &["serve"],
        arguments: &[],
        command: |_| Command::Serve,
    },
    Entry {
        path: &["status"],
        arguments: &[Argument::Json],
        command: |_| Command::Status,
    },
    Entry {
        path: &["stop"],
        arguments: &[],
        command: |_| Command::Stop,
    },
    Entry {
        path: &["config", "check"],
        arguments: &[],
        command: |_| Command::ConfigCheck,
    },
    Entry {
        path: &["config", "default"],
        arguments: &[],
        command: |_| Command::ConfigDefault,
    },
    Entry {
        path: &["db", "check"],
        arguments: &[Argument::Json],
        command: |_| Command::DbCheck,
    },
    Entry {
        path: &["db", "stats"],
        arguments: &[Argument::Json],
        command: |_| Command::DbStats,
    },
    Entry {
        path: &["db", "backup"],
        arguments: &[Argument::Folder, Argument::Json],
        command: |matches| Command::DbBackup(folder(matches)),
    },
    Entry {
        path: &["db", "restore"],
        arguments: &[Argument::Folder, Argument::Json],
        command: |matches| Command::DbRestore(folder(matches)),
    },
    Entry {
        path: &["user", "create"],
        arguments: &[
            Argument::Name,
            Argument::Role,
            Argument::PasswordStdin,
            Argument::Json,
        ],
        command: |matches| {
            with_password(
                matches,
                AccountRequest::Create {
                    name: text_of(matches, "name"),
                    role: matches.get_one("role").cloned(),
                    password: None,
                },
            )
        },
    },
    Entry {
        path: &["user", "list"],
        arguments: &[Argument::After, Argument::Json],
        command: |matches| {
            Command::Account(AccountRequest::List {
                after: matches.get_one("after").cloned(),
            })
        },
    },
    Entry {
        path: &["user", "reset-password"],
        arguments: &[Argument::Name, Argument::PasswordStdin, Argument::Json],
        command: |matches| {
            with_password(
                matches,
                AccountRequest::ResetPassword {
                    name: text_of(matches, "name"),
                    password: None,
                },
            )
        },
    },
    Entry {
        path: &["user", "lock"],
        arguments: &[Argument::Name, Argument::Json],
        command: |matches| change(matches, Change::Lock),
    },
    Entry {
        path: &["user", "suspend"],
        arguments: &[Argument::Name, Argument::Json],
        command: |matches| change(matches, Change::Suspend),
    },
    Entry {
        path: &["user", "restore"],
        arguments: &[Argument::Name, Argument::Json],
        command: |matches| change(matches, Change::Restore),
    },
    Entry {
        path: &["user", "logout"],
        arguments: &[Argument::Name, Argument::Json],
        command: |matches| change(matches, Change::Logout),
    },
    Entry {
        path: &["user", "promote"],
        arguments: &[Argument::Name, Argument::Json],
        command: |matches| change(matches, Change::Promote),
    },
    Entry {
        path: &["user", "demote"],
        arguments: &[Argument::Name, Argument::Json],
        command: |matches| change(matches, Change::Demote),
    },
    Entry {
        path: &["user", "deactivate"],
        arguments: &[Argument::Name, Argument::Erase, Argument::Json],
        command: |matches| {
            Command::Account(AccountRequest::Deactivate {
                name: text_of(matches, "name"),
                erase: matches.get_flag("erase"),
            })
        },
    },
    Entry {
        path: &["registration-token", "create"],
        arguments: &[
            Argument::Uses,
            Argument::Days,
            Argument::Role,
            Argument::Json,
        ],
        command: |matches| {
            Command::Account(AccountRequest::CreateToken {
                uses: matches.get_one("uses").copied(),
                days: matches.get_one("days").copied(),
                role: matches.get_one("role").cloned(),
            })
        },
    },
    Entry {
        path: &["registration-token", "list"],
        arguments: &[Argument::After, Argument::Json],
        command: |matches| {
            Command::Account(AccountRequest::ListTokens {
                after: matches.get_one("after").cloned(),
            })
        },
    },
    Entry {
        path: &["registration-token", "revoke"],
        arguments: &[Argument::Token, Argument::Json],
        command: |matches| {
            Command::Account(AccountRequest::RevokeToken {
                token: text_of(matches, "token"),
            })
        },
    },
    Entry {
        path: &["notice", "send"],
        arguments: &[Argument::Name, Argument::Text, Argument::Json],
        command: |matches| {
            Command::Notice(NoticeRequest {
                name: text_of(matches, "name"),
                text: text_of(matches, "text"),
            })
        },
    },
    Entry {
        path: &["federation", "destinations"],
        arguments: &[Argument::Json],
        command: |_| Command::Destinations(DestinationRequest::List),
    },
    Entry {
        path: &["federation", "reset"],
        arguments: &[Argument::Server, Argument::Json],
        command: |matches| {
            Command::Destinations(DestinationRequest::Reset {
                server: text_of(matches, "server"),
            })
        },
    },
    Entry {
        path: &["key", "create"],
        arguments: &[],
        command: |_| Command::KeyCreate,
    },
    Entry {
        path: &["version"],
        arguments: &[],
        command: |_| Command::Version,
    },
];

fn change(matches: &ArgMatches, change: Change) -> Command {
    let name = text_of(matches, "name");
    Command::Account(AccountRequest::Change { name, change })
}

fn with_password(matches: &ArgMatches, request: AccountRequest) -> Command {
    if matches.get_flag("password-stdin") {
        Command::AccountWithPassword(request)
    } else {
        Command::Account(request)
    }
}

fn text_of(matches: &ArgMatches, name: &str) -> String {
    // The tree requires it.
    matches.get_one(name).cloned().unwrap_or_default()
}

fn folder(matches: &ArgMatches) -> PathBuf {
    // The tree requires it.
    matches.get_one("folder").cloned().unwrap_or_default()
}
