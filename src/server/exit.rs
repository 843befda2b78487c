//! How the program ends and where its words go.

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// What the exit code says to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, nothing found.
    Clean,
    /// 1: done, and what was looked at is not as it should be.
    Findings,
    /// 2: not done.
    Trouble,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::Trouble => 2,
        })
    }
}

/// Writes a line to standard output. A reader that has gone away wants no more of it.
pub(crate) fn print(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}

/// Writes a line to standard error, with the program's name as tools have it.
pub(crate) fn print_error(line: &str) {
    writeln!(io::stderr(), "belfry: {line}").ok();
}
