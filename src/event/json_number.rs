//! Numbers of canonical JSON: which are allowed, and the one text of each.
//!
//! It exists because room versions disagree: since version 6 events hold integers only, before it
//! they hold whatever Python's `json` read and wrote. It knows nothing of where a number stands.

use std::borrow::Cow;

use crate::rules::{INTEGER_MAX, Numbers};

/// Digits of [`INTEGER_MAX`].
const INTEGER_DIGITS_MAX: usize = 16;

/// Why a number has no canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    NotAnInteger,
    OutOfRange,
}

/// The canonical text of `text`, a number by the grammar of JSON.
pub(crate) fn canonical(text: &str, numbers: Numbers) -> Result<Cow<'_, str>, NumberError> {
    let integer = !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    match numbers {
        Numbers::Lax if integer => Ok(without_minus_zero(text)),
        Numbers::Lax => python_float(text).map(Cow::Owned),
        Numbers::Strict | Numbers::Normalised if integer => in_range(without_minus_zero(text)),
        Numbers::Strict => Err(NumberError::NotAnInteger),
        Numbers::Normalised => whole(text).and_then(in_range),
    }
}

fn without_minus_zero(integer: &str) -> Cow<'_, str> {
    Cow::Borrowed(if integer == "-0" { "0" } else { integer })
}

fn in_range(integer: Cow<'_, str>) -> Result<Cow<'_, str>, NumberError> {
    match integer.parse::<i64>() {
        Ok(value) if (-INTEGER_MAX..=INTEGER_MAX).contains(&value) => Ok(integer),
        _ => Err(NumberError::OutOfRange),
    }
}

/// The integer that a decimal with a fraction or an exponent is equal to, exactly.
fn whole(text: &str) -> Result<Cow<'_, str>, NumberError> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = format!("{before}{after}");
    let digits = all_digits.trim_matches('0');
    if digits.is_empty() {
        return Ok(Cow::Borrowed("0"));
    }
    let exponent: i64 = exponent.parse().map_err(|_| NumberError::OutOfRange)?;
    // Zeros that were cut at the end count as powers of ten, digits after the point against them.
    let cut = all_digits.len() - all_digits.trim_end_matches('0').len();
    let zeros = exponent
        .saturating_add(i64::try_from(cut).unwrap_or(i64::MAX))
        .saturating_sub(i64::try_from(after.len()).unwrap_or(i64::MAX));
    let zeros = usize::try_from(zeros).map_err(|_| NumberError::NotAnInteger)?;
    if digits.len().saturating_add(zeros) > INTEGER_DIGITS_MAX {
        return Err(NumberError::OutOfRange);
    }
    Ok(Cow::Owned(format!("{sign}{digits}{}", "0".repeat(zeros))))
}

/// What Python's `repr` makes of the float that it reads from `text`: the shortest digits that
/// read back as the same binary64 value, with an exponent below 10^-4 and from 10^16 on.
fn python_float(text: &str) -> Result<String, NumberError> {
    let value: f64 = text.parse().map_err(|_| NumberError::OutOfRange)?;
    if !value.is_finite() {
        return Err(NumberError::OutOfRange);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return Ok(format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()));
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    Ok(format!("{sign}{}", with_point(&digits, exponent)))
}

/// The digits d.ddd * 10^exponent written without an exponent, at least one on either side of the
/// point.
fn with_point(digits: &str, exponent: i32) -> String {
    let Ok(whole_digits) = usize::try_from(exponent.saturating_add(1)) else {
        let zeros = usize::try_from(-1 - exponent).unwrap_or(0);
        return format!("0.{}{digits}", "0".repeat(zeros));
    };
    match digits.split_at_checked(whole_digits) {
        Some(("", after)) => format!("0.{after}"),
        Some((before, after)) if !after.is_empty() => format!("{before}.{after}"),
        _ => format!("{digits:0<whole_digits$}.0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text`, tab, what Python 3 writes: made by `testdata/python_floats.py`.
    const PYTHON_FLOATS: &str = include_str!("testdata/python_floats.tsv");

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let mut count = 0;
        for line in PYTHON_FLOATS.lines() {
            let (text, expected) = line.split_once('\t').unwrap();
            assert_eq!(canonical(text, Numbers::Lax).unwrap(), expected, "{text}");
            count += 1;
        }
        assert!(count > 300, "{count} rows");
    }

    #[test]
    fn strict_takes_integers_of_53_bits() {
        for (text, expected) in [
            ("0", Ok("0")),
            ("-0", Ok("0")),
            ("-1", Ok("-1")),
            ("9007199254740991", Ok("9007199254740991")),
            ("-9007199254740991", Ok("-9007199254740991")),
            ("9007199254740992", Err(NumberError::OutOfRange)),
            ("-9007199254740992", Err(NumberError::OutOfRange)),
            ("18446744073709551616", Err(NumberError::OutOfRange)),
            ("1.0", Err(NumberError::NotAnInteger)),
            ("1e2", Err(NumberError::NotAnInteger)),
            ("-0.0", Err(NumberError::NotAnInteger)),
        ] {
            let found = canonical(text, Numbers::Strict);
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn normalised_rewrites_what_equals_an_integer() {
        for (text, expected) in [
            ("-0", Ok("0")),
            ("0.0", Ok("0")),
            ("-0e5", Ok("0")),
            ("1.0", Ok("1")),
            ("-12.50e1", Ok("-125")),
            ("1e10", Ok("10000000000")),
            ("1E+2", Ok("100")),
            ("1200e-2", Ok("12")),
            ("0.001e3", Ok("1")),
            ("9007199254740991.0", Ok("9007199254740991")),
            ("9007199254740992.0", Err(NumberError::OutOfRange)),
            ("1e16", Err(NumberError::OutOfRange)),
            ("1e999999999999999999999", Err(NumberError::OutOfRange)),
            ("0.5", Err(NumberError::NotAnInteger)),
            ("12e-2", Err(NumberError::NotAnInteger)),
            ("1e-9223372036854775807", Err(NumberError::NotAnInteger)),
        ] {
            let found = canonical(text, Numbers::Normalised);
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn lax_keeps_integers_of_any_size() {
        for text in ["9007199254740993", "-123456789012345678901234567890"] {
            assert_eq!(canonical(text, Numbers::Lax).unwrap(), text);
        }
        assert_eq!(canonical("-0", Numbers::Lax).unwrap(), "0");
    }

    #[test]
    fn lax_refuses_what_overflows_a_float() {
        assert_eq!(
            canonical("1e400", Numbers::Lax),
            Err(NumberError::OutOfRange)
        );
        assert_eq!(canonical("1e-400", Numbers::Lax).unwrap(), "0.0");
    }
}
