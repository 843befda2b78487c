//! What each command of the command line does.

use belfry_env::Random;

use crate::{
    args::{Command, Invocation},
    config::{self, Config, Invalid},
    exit::{Exit, print, print_error},
    message::Message,
    signing_key::SigningKey,
    text::Text,
};

/// Runs the command; an error is the reason why it could not be done.
pub(crate) fn run(invocation: &Invocation, text: &Text) -> Result<Exit, Message> {
    match &invocation.command {
        Command::Version => {
            print(concat!("belfry ", env!("CARGO_PKG_VERSION")));
            return Ok(Exit::Clean);
        }
        Command::ConfigDefault => {
            print(config::sample(text).trim_end());
            return Ok(Exit::Clean);
        }
        _ => {}
    }
    let config = match config::load(invocation.config.as_deref()) {
        Ok(config) => config,
        Err(Invalid::Unreadable(message)) => return Err(message),
        Err(Invalid::Problems(problems)) => return Ok(report(&problems, text)),
    };
    match &invocation.command {
        Command::ConfigCheck => Ok(check_config(&config, text)),
        Command::KeyCreate => create_key(&config, text),
        _ => Ok(Exit::Trouble),
    }
}

/// Prints the problems of a configuration, a line each.
fn report(problems: &[Message], text: &Text) -> Exit {
    for problem in problems {
        print_error(&text.say(problem));
    }
    Exit::Findings
}

/// The values are valid; looks at the files that they name.
fn check_config(config: &Config, text: &Text) -> Exit {
    let key = config.server.signing_key_file.as_deref();
    if let Some(Err(problem)) = key.map(SigningKey::load) {
        return report(&[problem], text);
    }
    print(&text.plain("config-valid"));
    Exit::Clean
}

fn create_key(config: &Config, text: &Text) -> Result<Exit, Message> {
    let random = Random::system()
        .map_err(|cause| Message::new("entropy-missing").with_text("cause", cause))?;
    let file = config.signing_key_file();
    let key = SigningKey::load_or_create(&file, &random)?;
    let made = Message::new("key-present")
        .with("file", file.as_path())
        .with("id", key.id());
    print(&text.say(&made));
    Ok(Exit::Clean)
}
