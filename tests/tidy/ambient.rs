//! Nothing reaches for time, chance or threads behind `env`'s back, and no test waits in real time.
//!
//! `.clippy.toml` bans the same calls where the compiler resolves them; this sees them inside macros
//! too, and no `#[expect]` silences it.

use crate::{
    rules::{Fault, Rule},
    shape::at,
    source::{Function, Source},
};

const ENV: &[&str] = &["src/env/"];
/// `kv` stands beside `env`, so its suites race an engine on a runtime of their own; a real engine
/// takes real time.
const SUITES: &[&str] = &["src/kv/conformance", "src/kv/memory_tests.rs"];
/// Processes that are killed, and disks that fill up.
const PROCESSES: &[&str] = &["src/kv-rocks/process_tests.rs"];
/// Programs of their own, which talk to a server as the apps do that people have.
const CLIENTS: &str = "tests/clients/";
/// Its committer and its readers are threads.
const ROCKS: &[&str] = &["src/kv-rocks/"];

/// A sequence of tokens, the paths below which it may stand, and what to take instead.
const BANNED: &[(&str, &[&[&str]], &str)] = &[
    ("SystemTime :: now", &[ENV], "env::Clock::wall_ms"),
    ("SinceUnixEpoch :: now", &[], "env::Clock::wall_ms"),
    (
        "Instant :: now",
        &[ENV, SUITES, PROCESSES],
        "env::Clock::now",
    ),
    ("time :: sleep", &[SUITES, PROCESSES], "env::Clock::sleep"),
    ("time :: sleep_until", &[ENV], "env::Clock::sleep_until"),
    ("time :: timeout", &[SUITES], "env::Clock::within"),
    ("time :: interval", &[], "env::Clock::sleep in a loop"),
    ("thread :: sleep", &[], "env::Clock::sleep"),
    ("thread :: spawn", &[ROCKS], "env::Pool"),
    ("thread :: Builder", &[ROCKS], "env::Pool"),
    ("tokio :: spawn", &[SUITES], "env::Tasks::spawn"),
    ("task :: spawn", &[], "env::Tasks::spawn"),
    ("JoinSet", &[SUITES], "env::Tasks::spawn"),
    ("spawn_blocking", &[ENV], "env::Pool"),
    ("block_in_place", &[], "env::Pool"),
    ("rand :: rng", &[], "env::Random"),
    ("rand :: random", &[], "env::Random"),
    ("thread_rng", &[], "env::Random"),
    ("OsRng", &[], "env::Random"),
    ("SysRng", &[ENV], "env::Random"),
    ("getrandom", &[], "env::Random"),
];

/// Ambient calls, `#[allow]`, and `select!` that is not biased.
pub(crate) fn uses(sources: &[Source<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        for (sequence, owners, instead) in BANNED {
            let mut owners = owners.iter().copied().flatten();
            let owned = owners.any(|owner| source.path.starts_with(owner))
                || source.path.starts_with(CLIENTS)
                || is_benchmark(source.path);
            let lines = if owned {
                Vec::new()
            } else {
                source.lines_with(sequence)
            };
            let text = format!("{}: take {instead}", sequence.replace(' ', ""));
            faults.extend(each(Rule::Ambient, source, lines, &text));
        }
        let text = "write #[expect(lint, reason = \"...\")]";
        faults.extend(each(Rule::Allow, source, allowances(source), text));
        let unbiased = unbiased_selects(source);
        let text = "start with `biased;`: the default draws a random number";
        faults.extend(each(Rule::Select, source, unbiased, text));
    }
    faults
}

/// Tests that sleep on a clock which is not paused.
pub(crate) fn sleeping_tests(sources: &[Source<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        for test in source.functions.iter().filter(|one| sleeps(one)) {
            let text = format!("{} waits in real time: start the runtime paused", test.name);
            faults.push(Fault::new(Rule::Sleep, at(source, test.line), text));
        }
    }
    faults
}

fn sleeps(function: &Function) -> bool {
    let has = |words: &[String], wanted: &str| words.iter().any(|word| word == wanted);
    let is_test = function.attributes.iter().any(|word| word == "test");
    let waits = has(&function.body, "sleep") || has(&function.body, "sleep_until");
    is_test && waits && !has(&function.attributes, "start_paused")
}

/// A benchmark measures real time: that is what it is for.
fn is_benchmark(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "bench" || part == "benches")
}

/// `#[allow`, `#![allow`, and `allow` inside a `cfg_attr`.
fn allowances(source: &Source<'_>) -> Vec<usize> {
    let conditional = source.tokens.split(|token| token.text == "#");
    let conditional = conditional.filter_map(|attribute| {
        let mut tokens = attribute.iter().take_while(|token| token.text != "]");
        tokens.find(|token| token.text == "cfg_attr")?;
        tokens.find(|token| token.text == "allow")
    });
    let plain = ["# [ allow", "# ! [ allow"].into_iter();
    let plain = plain.flat_map(|sequence| source.lines_with(sequence));
    plain.chain(conditional.map(|token| token.line)).collect()
}

fn unbiased_selects(source: &Source<'_>) -> Vec<usize> {
    let select = source.tokens.windows(4).filter(|window| {
        window[0].text == "select" && window[1].text == "!" && window[3].text != "biased"
    });
    select.map(|window| window[0].line).collect()
}

fn each(rule: Rule, source: &Source<'_>, lines: Vec<usize>, text: &str) -> Vec<Fault> {
    let fault = |line| Fault::new(rule, at(source, line), text);
    lines.into_iter().map(fault).collect()
}
