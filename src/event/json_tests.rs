use proptest::prelude::*;
use serde_json::Value as Serde;

use super::*;

fn strict(json: &str) -> Result<String, JsonError> {
    canonical_json(json.as_bytes(), Numbers::Strict)
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn appendices_examples() {
    for (json, expected) in [
        ("{}", "{}"),
        (
            "{\n    \"one\": 1,\n    \"two\": \"Two\"\n}",
            r#"{"one":1,"two":"Two"}"#,
        ),
        (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
        (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {
                "display_name": "John Doe", "three_pids": [
                {"medium": "email", "address": "john.doe@example.org"},
                {"medium": "msisdn", "address": "123456789"}]}}}"#,
            concat!(
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","#,
                r#""three_pids":[{"address":"john.doe@example.org","medium":"email"},"#,
                r#"{"address":"123456789","medium":"msisdn"}]},"success":true}}"#
            ),
        ),
        (r#"{"a": "日本語"}"#, r#"{"a":"日本語"}"#),
        (r#"{"本": 2, "日": 1}"#, r#"{"日":1,"本":2}"#),
        (r#"{"a": "\u65E5"}"#, r#"{"a":"日"}"#),
        (r#"{"a": null}"#, r#"{"a":null}"#),
        (r#"{"a": -0, "b": 1e10}"#, r#"{"a":0,"b":10000000000}"#),
    ] {
        let found = canonical_json(json.as_bytes(), Numbers::Normalised);
        assert_eq!(found.as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn every_ascii_character_has_one_escape_or_none() {
    let escapes = [
        (8, "\\b"),
        (9, "\\t"),
        (10, "\\n"),
        (12, "\\f"),
        (13, "\\r"),
    ];
    for code in 0..=0x7f_u8 {
        let expected = match code {
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            0x20.. => char::from(code).to_string(),
            _ => match escapes.iter().find(|(escaped, _)| *escaped == code) {
                Some((_, escape)) => (*escape).to_owned(),
                None => format!("\\u{code:04x}"),
            },
        };
        let expected = format!("\"{expected}\"");
        assert_eq!(
            strict(&format!("\"\\u{code:04X}\"")),
            Ok(expected),
            "{code:#x}"
        );
    }
}

#[test]
fn redundant_escapes_are_undone() {
    assert_eq!(
        strict(r#""\/\u0041\ud83d\uDE00\u00e9""#).as_deref(),
        Ok(r#""/A😀é""#)
    );
}

#[test]
fn nul_is_a_character() {
    assert_eq!(
        strict(r#"{"a\u0000": "\u0000b"}"#).as_deref(),
        Ok(r#"{"a\u0000":"\u0000b"}"#)
    );
}

#[test]
fn names_sort_by_code_point_not_by_utf16() {
    // U+FF5E is after U+10000's surrogates in UTF-16, before U+10000 by code point.
    assert_eq!(
        strict(r#"{"𐀀":1,"～":2,"":3}"#).as_deref(),
        Ok(r#"{"":3,"～":2,"𐀀":1}"#)
    );
}

/// HTTP-007 of the acceptance table: one reading, the last.
#[test]
fn last_of_duplicate_members_counts() {
    for (json, expected) in [
        (
            r#"{"membership":"join","membership":"leave"}"#,
            r#"{"membership":"leave"}"#,
        ),
        (
            r#"{"a":1,"b":0,"\u0061":2,"a":3,"0":0}"#,
            r#"{"0":0,"a":3,"b":0}"#,
        ),
        (r#"{"a":{"x":1},"a":{"y":2}}"#, r#"{"a":{"y":2}}"#),
    ] {
        assert_eq!(strict(json).as_deref(), Ok(expected), "{json}");
        assert_eq!(
            serde_json::from_str::<Serde>(json).unwrap().to_string(),
            expected
        );
    }
}

/// HTTP-006 of the acceptance table.
#[test]
fn nesting_has_the_limit_that_serde_json_has() {
    assert!(strict(&nested(JSON_NESTING_MAX)).is_ok());
    assert!(serde_json::from_str::<Serde>(&nested(JSON_NESTING_MAX)).is_ok());
    let at = JSON_NESTING_MAX;
    assert_eq!(
        strict(&nested(JSON_NESTING_MAX + 1)),
        Err(JsonError::TooDeep { at })
    );
    assert!(serde_json::from_str::<Serde>(&nested(JSON_NESTING_MAX + 1)).is_err());
    assert_eq!(
        strict(&"[".repeat(1_000_000)),
        Err(JsonError::TooDeep { at })
    );
}

/// HTTP-001 of the acceptance table.
#[test]
fn invalid_utf8_is_refused() {
    let json = b"{\"body\":\"\xff\xfe\"}";
    assert_eq!(
        canonical_json(json, Numbers::Lax),
        Err(JsonError::NotUtf8 { at: 9 })
    );
    // A surrogate encoded as if it were a character.
    let json = b"\"\xed\xa0\x80\"";
    assert_eq!(
        canonical_json(json, Numbers::Lax),
        Err(JsonError::NotUtf8 { at: 1 })
    );
}

/// HTTP-009 of the acceptance table.
#[test]
fn lone_surrogates_are_refused() {
    for json in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\udc00\ud800""#,
    ] {
        assert_eq!(
            strict(json),
            Err(JsonError::LoneSurrogate { at: 1 }),
            "{json}"
        );
    }
}

/// HTTP-002, HTTP-004 and HTTP-008 of the acceptance table, and what else is no JSON.
#[test]
fn text_that_is_no_json_is_refused() {
    for (json, at) in [
        ("", 0),
        (" ", 1),
        (r#"{"body":"a"#, 10),
        (r#"{"a":1"#, 6),
        (r#"{"a"}"#, 4),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        ("{a:1}", 1),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{} {}", 3),
        ("NaN", 0),
        ("Infinity", 0),
        ("-Infinity", 1),
        ("nul", 0),
        ("True", 0),
        ("01", 1),
        ("-", 1),
        ("1.", 2),
        (".5", 0),
        ("1e", 2),
        ("+1", 0),
        ("\"\u{1}\"", 1),
        ("\"\n\"", 1),
        (r#""\x41""#, 2),
        (r#""\u12""#, 3),
        (r#""\u+041""#, 3),
        ("'a'", 0),
        ("\u{feff}{}", 0),
        ("{}\u{0}", 2),
        ("/**/{}", 0),
    ] {
        assert_eq!(strict(json), Err(JsonError::Syntax { at }), "{json}");
        assert!(serde_json::from_str::<Serde>(json).is_err(), "{json}");
    }
}

#[test]
fn an_object_is_wanted_where_an_object_is_read() {
    for json in ["[]", "null", "\"{}\"", "1"] {
        assert_eq!(
            Object::parse(json.as_bytes(), Numbers::Lax),
            Err(JsonError::NotAnObject)
        );
    }
}

#[test]
fn numbers_have_their_place_in_errors() {
    assert_eq!(strict("[1, 1.5]"), Err(JsonError::NotAnInteger { at: 4 }));
    assert_eq!(
        strict("[1, -9007199254740992]"),
        Err(JsonError::OutOfRange { at: 4 })
    );
}

#[test]
fn inserting_replaces_and_keeps_the_order() {
    let mut object = Object::parse(br#"{"b":1,"d":2}"#, Numbers::Strict).unwrap();
    for (name, number) in [("c", 3), ("a", 4), ("b", 5), ("e", 6)] {
        object.insert(name, Value::integer(number));
    }
    assert_eq!(object.remove("d"), Some(Value::integer(2)));
    assert_eq!(object.remove("d"), None);
    assert_eq!(object.to_text(), r#"{"a":4,"b":5,"c":3,"e":6}"#);
}

/// Any JSON with integers, some of them too large for canonical JSON.
fn any_json() -> impl Strategy<Value = Serde> {
    let leaf = prop_oneof![
        Just(Serde::Null),
        any::<bool>().prop_map(Serde::from),
        any::<i64>().prop_map(Serde::from),
        (-1000_i64..1000).prop_map(Serde::from),
        any::<String>().prop_map(Serde::from),
        "[\\x00-\\x7f]{0,8}".prop_map(Serde::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Serde::from),
            prop::collection::hash_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Serde::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_ruma(json in any_json()) {
        let text = serde_json::to_string_pretty(&json).unwrap();
        let ours = strict(&text).ok();
        let theirs = ruma_common::canonical_json::to_canonical_value(&json).ok();
        prop_assert_eq!(ours, theirs.map(|value| value.to_string()));
    }

    #[test]
    fn is_idempotent_and_keeps_the_value(json in any_json()) {
        let once = canonical_json(json.to_string().as_bytes(), Numbers::Lax).unwrap();
        prop_assert_eq!(canonical_json(once.as_bytes(), Numbers::Lax).unwrap(), once.clone());
        prop_assert_eq!(serde_json::from_str::<Serde>(&once).unwrap(), json);
    }

    #[test]
    fn does_not_depend_on_the_order_of_members(
        members in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..20)
            .prop_flat_map(|members| Just(members.into_iter().collect::<Vec<_>>()).prop_shuffle())
    ) {
        let write = |(name, number): &(String, i32)| format!("{}:{number}", Serde::from(name.as_str()));
        let shuffled: Vec<_> = members.iter().map(write).collect();
        let mut sorted = members.clone();
        sorted.sort();
        let sorted: Vec<_> = sorted.iter().map(write).collect();
        prop_assert_eq!(
            strict(&format!("{{{}}}", shuffled.join(" , "))),
            strict(&format!("{{{}}}", sorted.join(",")))
        );
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let lax = canonical_json(&bytes, Numbers::Lax);
        if serde_json::from_slice::<Serde>(&bytes).is_ok() {
            prop_assert!(lax.is_ok());
        }
    }

    #[test]
    fn near_json_is_read_as_serde_json_reads_it(
        text in r#"[\[\]{},:"0-9eE.+\-\\u d8c0ntrfalsue]{0,24}"#
    ) {
        let theirs = serde_json::from_str::<Serde>(&text);
        let ours = canonical_json(text.as_bytes(), Numbers::Lax);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }
}
