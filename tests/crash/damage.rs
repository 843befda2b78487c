//! One byte of the database turned: it is refused or found, never answered from: OPS-004.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    place::Place,
    storm::{Storm, runtime},
};

/// Acknowledgements before the end.
const ACKNOWLEDGED: usize = 200;

/// The largest file of this kind in the database.
fn largest(place: &Place, extension: &str) -> PathBuf {
    let files = fs::read_dir(place.path("data/db")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    let largest = files.max_by_key(|path| fs::metadata(path).unwrap().len());
    largest.expect("there is such a file")
}

/// Turns the byte in the middle of what was written.
fn turn_a_byte(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 0x40;
    fs::write(file, &bytes).unwrap();
    bytes
}

/// A place whose server worked under load and was then killed, or stopped.
fn worked(stopped: bool) -> Storm {
    let runtime = runtime();
    runtime.block_on(async {
        let mut storm = Storm::new(&runtime, 4).await;
        let mut load = storm.begin();
        load.wait_for(ACKNOWLEDGED).await;
        if stopped {
            storm.end(load).await;
        } else {
            storm.kill(load).await;
        }
        storm
    })
}

#[test]
fn ops_004_a_turned_byte_in_the_journal_is_refused_at_start_and_left_as_it_is() {
    let storm = worked(false);
    let journal = largest(&storm.place, "log");
    let damaged = turn_a_byte(&journal);
    let (code, said) = storm.place.run(&["serve"]);
    assert!(
        code == Some(2) && said.contains("damaged"),
        "{code:?} {said}"
    );
    assert_eq!(fs::read(&journal).unwrap(), damaged);
    let (code, said) = storm.place.run(&["db", "check"]);
    assert!(
        code == Some(2) && said.contains("damaged"),
        "{code:?} {said}"
    );
}

#[test]
fn ops_004_a_turned_byte_in_a_table_is_found_and_never_read_as_data() {
    let storm = worked(true);
    let table = largest(&storm.place, "sst");
    turn_a_byte(&table);
    let (code, said) = storm.place.run(&["db", "check"]);
    let found = code == Some(1) && said.contains("Damaged");
    let refused = code == Some(2) && said.contains("damaged");
    assert!(found || refused, "{code:?} {said}");
}
