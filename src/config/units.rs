//! Durations and sizes as text, both ways: `500ms`, `15s`, `2m`, `64KiB`, `1MiB`.

use std::time::Duration;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Reads a whole number of `ms`, `s`, `m` or `h`; without a unit, of seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads the lifetime of a token: like a duration, or a whole number of days (`d`).
pub fn lifetime(text: &str) -> Option<Duration> {
    match split(text)? {
        (days, "d") => days.checked_mul(24 * HOUR).map(Duration::from_millis),
        _ => duration(text),
    }
}

/// Reads a whole number of `B`, `KiB`, `MiB` or `GiB` (or `k`, `M`, `G`, which mean the
/// same three); without a unit, of bytes.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" | "k" => KIB,
        "MiB" | "M" => MIB,
        "GiB" | "G" => GIB,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// Writes a duration in the largest unit that divides it.
pub fn duration_text(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let divides = |(unit, _): &&(u64, &str)| millis.is_multiple_of(u128::from(*unit));
    let (unit, name) = units.iter().find(divides).unwrap_or(&(1, "ms"));
    format!("{}{name}", millis / u128::from(*unit))
}

/// Writes a size in the largest unit that divides it.
pub fn size_text(bytes: usize) -> String {
    let bytes = bytes as u64;
    let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let divides = |(unit, _): &&(u64, &str)| bytes.is_multiple_of(*unit);
    let (unit, name) = units.iter().find(divides).unwrap_or(&(1, "B"));
    format!("{}{name}", bytes / unit)
}

/// Splits a text into its number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_read() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("15s"), Some(Duration::from_secs(15)));
        assert_eq!(duration("15"), Some(Duration::from_secs(15)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(size("7"), Some(7));
        assert_eq!(size("7B"), Some(7));
        assert_eq!((size("64KiB"), size("64k")), (Some(65_536), Some(65_536)));
        assert_eq!(
            (size("1MiB"), size("1M")),
            (Some(1_048_576), Some(1_048_576))
        );
        assert_eq!((size("1GiB"), size("1G")), (Some(1 << 30), Some(1 << 30)));
    }

    #[test]
    fn the_largest_unit_without_a_remainder_is_shown() {
        assert_eq!(duration_text(Duration::from_secs(75)), "75s");
        assert_eq!(duration_text(Duration::from_secs(7200)), "2h");
        assert_eq!(duration_text(Duration::from_millis(1500)), "1500ms");
        assert_eq!(
            (size_text(1 << 20), size_text(1500)),
            ("1MiB".into(), "1500B".into())
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "+1",
            "1.5s",
            "1 s s",
            "15 sec",
            "1KB",
            "99999999999999999999",
        ] {
            assert_eq!(duration(text), None, "{text}");
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(duration("18446744073709551615h"), None);
        assert_eq!(size("18446744073709551615GiB"), None);
    }

    #[test]
    fn a_lifetime_may_be_in_days() {
        assert_eq!(lifetime("90d"), Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(lifetime("1h"), Some(Duration::from_secs(3600)));
        for text in ["", "d", "-1d", "1.5d", "1D", "1day", "99999999999999999d"] {
            assert_eq!(lifetime(text), None, "{text}");
        }
        assert_eq!(duration("1d"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = (duration(&text), size(&text), lifetime(&text));
        }

        #[test]
        fn what_is_shown_can_be_read_back(number in 1_u32..) {
            let time = Duration::from_millis(number.into());
            prop_assert_eq!(duration(&duration_text(time)), Some(time));
            let bytes = number as usize;
            prop_assert_eq!(size(&size_text(bytes)), Some(bytes as u64));
        }

        #[test]
        fn what_is_written_is_read(number in 0_u64..1_000_000_000) {
            prop_assert_eq!(duration(&format!("{number}ms")), Some(Duration::from_millis(number)));
            prop_assert_eq!(size(&format!("{number}KiB")), Some(number * 1024));
            let days = Duration::from_secs(number * 86_400);
            prop_assert_eq!(lifetime(&format!("{number}d")), Some(days));
        }
    }
}
