//! `belfry`: the process around the homeserver. Command line, configuration, log, listeners,
//! control socket, start and stop.
//!
//! It exists so that everything below it is a value without an ambient world. It knows nothing of
//! Matrix rules.

mod accounts;
mod args;
mod commands;
mod config;
mod control;
mod data_folder;
mod database;
mod destinations;
mod exit;
mod federation;
mod listen;
mod media_folder;
mod message;
mod metrics;
mod notices;
mod open_files;
mod operation;
mod options;
mod push;
mod restore;
mod serve;
mod show;
mod signing_key;
mod telemetry;
mod text;

use std::{env, process::ExitCode};

use rustix::{fs::Mode, process::umask};

use crate::{
    args::Unrun,
    exit::{Exit, print, print_error},
    text::Text,
};

/// Many small, short-lived allocations of many threads: see `docs/adr/0014-allocator.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Whatever this process makes is for its own user only.
    umask(Mode::from_raw_mode(0o077));
    let arguments: Vec<_> = env::args_os().collect();
    let text = Text::new(args::language(&arguments));
    let exit = match args::parse(&arguments, &text) {
        Ok(invocation) => commands::run(&invocation, &text),
        Err(Unrun::Help(help)) => {
            print(help.trim_end());
            Ok(Exit::Clean)
        }
        Err(Unrun::Wrong(message)) => Err(message),
    };
    exit.unwrap_or_else(|message| {
        print_error(&text.say(&message));
        Exit::Trouble
    })
    .into()
}
