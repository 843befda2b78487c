use std::{fmt::Debug, sync::Arc};

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};

use crate::{
    KEY_BYTES_MAX, Key, KeyCodec, KeyPrefix, KeyReader, KeyWriter, Position, Range, ReadError,
    Stamp,
};

const TAG: u8 = 7;

fn encoded<K>(key: &impl KeyPrefix<K>) -> Key {
    let mut out = KeyWriter::new(TAG);
    key.encode_prefix(&mut out);
    out.finish()
}

fn decoded<K: KeyCodec>(columns: &[u8]) -> Result<K, ReadError> {
    let mut input = KeyReader::new(columns);
    let key = K::decode(&mut input)?;
    input.finish().map(|()| key)
}

/// What every codec promises, for two values of it.
fn assert_codec<K: KeyCodec + Ord + Debug>(a: &K, b: &K) {
    let (left, right) = (encoded::<K>(a), encoded::<K>(b));
    assert_eq!(left.cmp(&right), a.cmp(b), "{a:?} and {b:?} keep order");
    assert_eq!(&decoded::<K>(left.columns()).unwrap(), a);
    let prefixes = right.as_bytes().starts_with(left.as_bytes());
    assert_eq!(prefixes, a == b, "{a:?} is no prefix of {b:?}");
}

/// Bytes around the escapes and the ends, so that random cases meet them.
fn edgy() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(2),
        Just(0xfe),
        Just(0xff),
        any::<u8>()
    ]
}

fn stamps() -> impl Strategy<Value = Stamp> {
    (0..=Position::MAX.number(), any::<u16>()).prop_map(|(number, ordinal)| Stamp {
        position: Position::new(number).unwrap(),
        ordinal,
    })
}

type Row = (Vec<u8>, u8, String);

fn rows() -> impl Strategy<Value = Row> {
    (vec(edgy(), 0..4), edgy(), "[\u{0}-\u{2}a\u{ffff}]{0,3}")
}

proptest! {
    #[test]
    fn numbers_keep_order(a: (u8, u16, u32), b: (u8, u16, u32), c: [u128; 2], d: [u64; 2]) {
        assert_codec(&a, &b);
        assert_codec(&c[0], &c[1]);
        assert_codec(&d[0], &d[1]);
    }

    #[test]
    fn signed_numbers_keep_order(a: i64, b: i64) {
        assert_codec(&a, &b);
        assert_codec(&a, &a.saturating_add(1));
    }

    #[test]
    fn byte_strings_keep_order(a in vec(edgy(), 0..6), b in vec(edgy(), 0..6)) {
        assert_codec(&a, &b);
        assert_codec(&Bytes::from(a), &Bytes::from(b));
    }

    #[test]
    fn texts_keep_order(a: String, b: String) {
        assert_codec(&Arc::<str>::from(a.as_str()), &Arc::from(b.as_str()));
        assert_codec(&a, &b);
    }

    #[test]
    fn stamps_keep_order(a in stamps(), b in stamps()) {
        assert_codec(&a, &b);
        assert_codec(&a.position, &b.position);
    }

    #[test]
    fn options_and_flags_keep_order(
        a in option::of(vec(edgy(), 0..3)), b in option::of(vec(edgy(), 0..3)), c: bool, d: bool,
    ) {
        assert_codec(&(a, c), &(b, d));
    }

    #[test]
    fn tuples_sort_column_by_column(a in rows(), b in rows()) {
        assert_codec(&a, &b);
        assert_codec(&(a.0.clone(), (a.1, a.2.clone())), &(b.0.clone(), (b.1, b.2.clone())));
    }

    #[test]
    fn a_prefix_selects_the_keys_with_its_columns(a in rows(), b in rows()) {
        let range = Range::prefix(&encoded::<Row>(&(a.0.clone(),)));
        let key = encoded::<Row>(&b);
        prop_assert_eq!(range.from <= key && key < range.to, a.0 == b.0);
        let range = Range::prefix(&encoded::<Row>(&(a.0.clone(), a.1)));
        prop_assert_eq!(range.from <= key && key < range.to, (a.0, a.1) == (b.0, b.1));
    }

    #[test]
    fn what_decodes_is_canonical(columns in vec(edgy(), 0..8)) {
        if let Ok(row) = decoded::<Row>(&columns) {
            let key = encoded::<Row>(&row);
            prop_assert_eq!(key.columns(), columns.as_slice());
        }
        if let Ok(flag) = decoded::<Option<bool>>(&columns) {
            let key = encoded::<Option<bool>>(&flag);
            prop_assert_eq!(key.columns(), columns.as_slice());
        }
    }
}

#[test]
fn encodings_never_change() {
    let key = (
        (1_u8, 0x0203_u16, -1_i64),
        "a\0\u{1}b".to_owned(),
        (Some(true), None::<bool>),
        [9_u8; 2],
    );
    let bytes = [
        TAG, 1, 2, 3, 0x7f, 255, 255, 255, 255, 255, 255, 255, b'a', 1, 1, 1, 2, b'b', 0, 1, 1, 0,
        9, 9,
    ];
    let mut out = KeyWriter::new(TAG);
    key.encode(&mut out);
    assert_eq!(out.finish(), Key::new(bytes.to_vec()));
}

#[test]
fn a_whole_tuple_is_a_prefix_of_itself_and_the_empty_one_of_every_tuple() {
    let key = ("r".to_owned(), 5_u64);
    assert_eq!(encoded::<(String, u64)>(&()).as_bytes(), [TAG]);
    assert_eq!(encoded::<(String, u64)>(&key).columns().len(), 2 + 8);
}

#[test]
fn damaged_columns_are_refused() {
    for columns in [&[][..], &[2], &[1], &[0, 0]] {
        assert!(decoded::<Option<bool>>(columns).is_err(), "{columns:?}");
    }
    for columns in [&[][..], b"a", &[1, 0, 0], &[1, 3, 0], &[1], &[0xff, 0]] {
        assert!(decoded::<String>(columns).is_err(), "{columns:?}");
    }
    assert!(decoded::<Stamp>(&[0; 11]).is_err());
}

#[test]
fn the_longest_key_can_be_scanned_as_a_prefix() {
    let key = Key::new(vec![u8::MAX - 1; KEY_BYTES_MAX]);
    assert!(Range::prefix(&key).to > key);
    let highest = Key::new([&[254][..], &[255; 9]].concat());
    assert_eq!(Range::prefix(&highest).to, Key::new(vec![255]));
}
