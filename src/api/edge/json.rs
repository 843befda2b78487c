//! Whether a body is JSON at all, before anybody asks what it says.
//!
//! The types that requests are parsed into skip what they do not know, and keep some parts as raw
//! text: without this walk, a lone surrogate or a number beyond reason would travel on and fail
//! far from the one who sent it. Knows nothing of any endpoint.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Why a body cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonRefused {
    /// Not JSON: `M_NOT_JSON`.
    NotJson(String),
    /// JSON, but not an object: `M_BAD_JSON`.
    NotAnObject,
}

/// Walks the whole text: UTF-8, syntax, escapes, numbers that fit a double, at most 128 levels.
/// The text must be an object, as the body of every Matrix endpoint is (an array would otherwise
/// pass for an object's fields in order).
pub(crate) fn check_object(text: &[u8]) -> Result<(), JsonRefused> {
    let object = serde_json::from_slice::<IsObject>(text);
    match object {
        Ok(IsObject(true)) => Ok(()),
        Ok(IsObject(false)) => Err(JsonRefused::NotAnObject),
        Err(error) => Err(JsonRefused::NotJson(error.to_string())),
    }
}

/// Any JSON value, forgotten as soon as it is parsed but for this.
struct IsObject(bool);

struct Walk;

impl<'de> Deserialize<'de> for IsObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = IsObject;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<IsObject, E> {
        Ok(IsObject(false))
    }

    fn visit_bool<E>(self, _: bool) -> Result<IsObject, E> {
        Ok(IsObject(false))
    }

    fn visit_u64<E>(self, _: u64) -> Result<IsObject, E> {
        Ok(IsObject(false))
    }

    fn visit_i64<E>(self, _: i64) -> Result<IsObject, E> {
        Ok(IsObject(false))
    }

    fn visit_f64<E>(self, _: f64) -> Result<IsObject, E> {
        Ok(IsObject(false))
    }

    fn visit_str<E>(self, _: &str) -> Result<IsObject, E> {
        Ok(IsObject(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IsObject, A::Error> {
        while items.next_element::<IsObject>()?.is_some() {}
        Ok(IsObject(false))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<IsObject, A::Error> {
        while entries.next_entry::<IsObject, IsObject>()?.is_some() {}
        Ok(IsObject(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_json(text: impl AsRef<[u8]>) -> bool {
        matches!(check_object(text.as_ref()), Err(JsonRefused::NotJson(_)))
    }

    #[test]
    fn objects_pass() {
        for text in [
            "{}",
            " {\"a\":[1,-2.5,true,null,{\"b\":\"\\u00e9\"}]} ",
            r#"{"membership":"join","membership":"leave"}"#,
            r#"{"emoji":"\ud83d\ude00"}"#,
        ] {
            assert_eq!(check_object(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn other_values_are_bad_json() {
        for text in ["[]", "null", "1", "\"text\"", "[{}]"] {
            assert_eq!(
                check_object(text.as_bytes()),
                Err(JsonRefused::NotAnObject),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "{\"body\":\"a",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":-Infinity}",
            "{\"a\":1e999}",
            "{\"body\":\"\\ud800\"}",
            "{\"a\":1}x",
            "{a:1}",
            "{\"a\":01}",
        ] {
            assert!(not_json(text), "{text}");
        }
        assert!(not_json(b"{\"body\":\"\xff\xfe\"}"));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check_object(nested(100).as_bytes()), Ok(()));
        assert!(not_json(nested(200)));
        assert!(not_json(nested(200_000)));
    }
}
