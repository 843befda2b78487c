//! Leaving out of an event what a client's `event_fields` do not name.
//!
//! It exists for clients on slow lines that ask for it; only then is an event read again. It knows
//! nothing of what the fields mean.

use serde::{Deserialize, de::Deserializer};
use serde_json::{Map, Value};

/// A dot-separated path (appendices, "Dot-separated property paths"): `content.m\.relates_to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath(Vec<String>);

impl FieldPath {
    fn new(text: &str) -> Self {
        let mut steps = vec![String::new()];
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '.' {
                steps.push(String::new());
                continue;
            }
            let escaped = (character == '\\').then(|| {
                let special = |next: &char| *next == '.' || *next == '\\';
                characters.next_if(special)
            });
            if let Some(step) = steps.last_mut() {
                step.push(escaped.flatten().unwrap_or(character));
            }
        }
        Self(steps)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// The event with the named fields only.
pub(crate) fn pruned(event: &str, fields: &[FieldPath]) -> String {
    let Ok(whole) = serde_json::from_str::<Value>(event) else {
        return event.to_owned();
    };
    let mut kept = Map::new();
    for field in fields {
        copy(&whole, &field.0, &mut kept);
    }
    Value::Object(kept).to_string()
}

fn copy(from: &Value, path: &[String], to: &mut Map<String, Value>) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    let Some(value) = from.get(step) else { return };
    if rest.is_empty() {
        to.insert(step.clone(), value.clone());
        return;
    }
    if !value.is_object() {
        return;
    }
    let inner = to.entry(step.as_str()).or_insert_with(|| Map::new().into());
    if let Value::Object(inner) = inner {
        copy(value, rest, inner);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pick(fields: &[&str]) -> Value {
        let event = json!({
            "type": "m.x",
            "content": {"body": "b", "m.relates_to": {"a\\b": 1}, "n": 2},
            "sender": "@a:b",
        });
        let fields: Vec<_> = fields.iter().map(|field| FieldPath::new(field)).collect();
        serde_json::from_str(&pruned(&event.to_string(), &fields)).unwrap()
    }

    #[test]
    fn named_fields_are_kept() {
        assert_eq!(pick(&[]), json!({}));
        assert_eq!(
            pick(&["type", "content.body", "content.n"]),
            json!({"type": "m.x", "content": {"body": "b", "n": 2}})
        );
        assert_eq!(
            pick(&["content", "content.body"])["content"]["n"],
            json!(2),
            "a part does not take from the whole"
        );
    }

    #[test]
    fn dots_and_backslashes_are_escaped() {
        let whole = json!({"content": {"m.relates_to": {"a\\b": 1}}});
        assert_eq!(pick(&["content.m\\.relates_to"]), whole);
        assert_eq!(pick(&["content.m\\.relates_to.a\\\\b"]), whole);
        assert_eq!(pick(&["content.m.relates_to"]), json!({"content": {}}));
    }

    #[test]
    fn fields_that_are_not_there_are_no_error() {
        assert_eq!(pick(&["", ".", "x.y", "type.x", "\\"]), json!({}));
    }
}
