//! Which of the specification's endpoints are served: all but those on a short list with reasons,
//! which may only shrink.

use std::collections::{BTreeMap, BTreeSet};

use crate::{federation, routes::table};

/// What there is, by the specification: a table with a head.
const ENDPOINTS: &str = include_str!("../../tests/data/endpoints.tsv");
/// What of it is not served, and why: method, path, reason.
const UNSERVED: &str = include_str!("../../tests/data/endpoints_unserved.tsv");
/// Lines of [`UNSERVED`]: when some are gone, this is to be lowered.
const UNSERVED_MAX: usize = 28;

/// The APIs that a homeserver serves; identity servers and push gateways are other programs.
const APIS: [&str; 2] = ["client-server", "server-server"];

/// Method and path, whatever its variables are called.
fn named(method: &str, path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let variable = segment.starts_with('{') && segment.ends_with('}');
        if variable { "{}" } else { segment }
    });
    let segments: Vec<_> = segments.collect();
    format!("{method} {}", segments.join("/"))
}

fn served() -> BTreeSet<String> {
    let table = federation::routes(table());
    let served = table.served().iter();
    served
        .map(|(method, path)| named(method.as_str(), path))
        .collect()
}

fn wanted() -> BTreeSet<String> {
    let rows = ENDPOINTS.lines().skip(1).map(|line| line.split('\t'));
    let rows = rows.map(|mut columns| [(); 3].map(|()| columns.next().unwrap_or_default()));
    let rows = rows.filter(|[api, _, _]| APIS.contains(api));
    rows.map(|[_, method, path]| named(method, path)).collect()
}

fn unserved() -> BTreeMap<String, String> {
    let lines = UNSERVED.lines().filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for line in lines {
        let columns: Vec<_> = line.split('\t').collect();
        let [method, path, reason] = columns[..] else {
            panic!("method, path and reason with tabs between them: {line}");
        };
        let twice = all.insert(named(method, path), reason.to_owned());
        assert_eq!(twice, None, "{line}");
    }
    all
}

#[test]
fn every_endpoint_of_the_specification_is_served_or_known_not_to_be() {
    let (served, unserved) = (served(), unserved());
    let wanted = wanted();
    assert!(wanted.len() > 190, "the list is whole: {}", wanted.len());
    let missing: Vec<_> = wanted.difference(&served).collect();
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|endpoint| !unserved.contains_key(*endpoint))
        .collect();
    assert!(
        missing.is_empty(),
        "neither served nor excused: {missing:#?}"
    );
}

#[test]
fn nothing_is_excused_that_is_served_or_that_the_specification_does_not_have() {
    let (served, wanted, unserved) = (served(), wanted(), unserved());
    for (endpoint, reason) in &unserved {
        assert!(
            !served.contains(endpoint),
            "{endpoint} is served; take its line out"
        );
        assert!(wanted.contains(endpoint), "{endpoint} is no endpoint");
        assert!(reason.len() > 10, "{endpoint}: say why");
    }
    assert!(unserved.len() <= UNSERVED_MAX, "the list only shrinks");
}
