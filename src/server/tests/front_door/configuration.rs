//! The configuration and the command line.

use crate::process::Place;

#[test]
fn a_valid_configuration_is_said_to_be_valid() {
    Place::new().run(&["config", "check"]).printed(0, "valid");
    let full = "server_name = \"town.example\"\n[log]\nlevel = \"debug\"\n";
    Place::with(full)
        .run(&["config", "check"])
        .printed(0, "valid");
}

#[test]
fn an_unknown_key_is_named_with_its_file_its_line_and_the_nearest_key() {
    let place = Place::with("\n[storage]\nblok_cache_mib = 64\n");
    let said = "belfry.toml, line 3: there is no key storage.blok_cache_mib; \
                did you mean storage.block_cache_mib?";
    place.run(&["config", "check"]).refused(1, said);
    place.run(&["serve"]).refused(2, said);
    assert!(
        !place.path("data").exists(),
        "a refused start makes nothing"
    );
}

#[test]
fn errors_speak_the_language_asked_for() {
    let place = Place::with("server_nam = \"x\"");
    place.run(&["config", "check", "--lang", "fr"]).refused(
        1,
        "ligne 1 : la clé server_nam n’existe pas ; vouliez-vous dire server_name ?",
    );
    let mut french = place.command(&["config", "check"]);
    let ran = french.env("LC_ALL", "fr_CH.UTF-8").output().unwrap();
    assert!(String::from_utf8(ran.stderr).unwrap().contains("ligne 1"));
}

#[test]
fn a_missing_configuration_is_refused() {
    let place = Place::new();
    place
        .run(&["config", "check", "--config", "absent.toml"])
        .refused(2, "absent.toml cannot be read");
}

#[test]
fn the_files_that_the_configuration_names_are_checked() {
    let place = Place::with("signing_key_file = \"key\"");
    place.run(&["config", "check"]).refused(1, "key");
    std::fs::write(place.path("key"), "nonsense").unwrap();
    place.run(&["config", "check"]).refused(1, "chmod 600");
}

#[test]
fn the_sample_is_printed_in_each_language() {
    let place = Place::new();
    let english = place.run(&["config", "default"]);
    assert_eq!(english.out, include_str!("../../../../conf/belfry.toml"));
    place
        .run(&["config", "default", "--lang=fr"])
        .printed(0, "#server_name = \"localhost\"");
}

#[test]
fn nonsense_on_the_command_line_is_refused_with_what_was_meant() {
    let place = Place::new();
    place.run(&["db", "chek"]).refused(2, "did you mean check?");
    place.run(&["--jason"]).refused(2, "--jason");
    place.run(&["--help"]).printed(0, "Usage: belfry");
    place
        .run(&["version"])
        .printed(0, env!("CARGO_PKG_VERSION"));
    place
        .run(&["--version"])
        .printed(0, env!("CARGO_PKG_VERSION"));
}
