//! Filters that were read lately, by their text: every poll of a client brings the same one.
//!
//! It exists so that a definition is not read again for each request. It knows nothing of who asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::filter::{Filter, FilterError};

/// Filters that are remembered; then all are forgotten.
pub const FILTERS_REMEMBERED_MAX: usize = 256;
/// Longest text of a filter that is remembered.
pub const FILTER_REMEMBERED_BYTES_MAX: usize = 4 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<BTreeMap<String, Filter>>);

impl Filters {
    /// As [`Filter::parse`].
    pub(crate) fn read(&self, definition: &str) -> Result<Filter, FilterError> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = known().get(definition) {
            return Ok(filter.clone());
        }
        let filter = Filter::parse(definition)?;
        if definition.len() <= FILTER_REMEMBERED_BYTES_MAX {
            let mut known = known();
            if known.len() >= FILTERS_REMEMBERED_MAX {
                known.clear();
            }
            known.insert(definition.to_owned(), filter.clone());
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_remembered_within_limits() {
        let filters = Filters::default();
        let held = || filters.0.lock().unwrap().len();
        for number in 0..2 * FILTERS_REMEMBERED_MAX {
            let definition = format!(r#"{{"room":{{"timeline":{{"limit":{number}}}}}}}"#);
            for _ in 0..2 {
                let read = filters.read(&definition).unwrap();
                assert_eq!(read, Filter::parse(&definition).unwrap());
            }
            assert!(held() <= FILTERS_REMEMBERED_MAX);
        }
        let held_before = held();
        let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(FILTER_REMEMBERED_BYTES_MAX));
        assert_eq!(filters.read(&long), Ok(Filter::default()));
        assert!(filters.read("{").is_err());
        assert_eq!(held(), held_before);
    }
}
