//! Moments in words: `expired 3 minutes ago, 2026-11-24T16:36:00Z`.

use std::time::{Duration, UNIX_EPOCH};

/// The year 10000, in seconds since 1970: what can't be written as a date any more.
const END_OF_DATES: f64 = 253_402_300_800.0;
/// A time of today in milliseconds is greater than this, which is the year 5138 in seconds.
const MILLISECONDS: f64 = 1e11;

const UNITS: [(f64, &str); 4] = [
    (86_400.0, "day"),
    (3600.0, "hour"),
    (60.0, "minute"),
    (1.0, "second"),
];

/// When the token expires, or has.
pub fn expiry(exp: f64, now: f64) -> String {
    let is_past = exp < now.floor();
    let verb = if is_past { "expired" } else { "expires" };
    format!("{verb} {}", moment(exp, now))
}

/// When the token becomes valid, or has.
pub fn beginning(nbf: f64, now: f64) -> String {
    let verb = if nbf > now {
        "becomes good"
    } else {
        "became good"
    };
    format!("{verb} {}", moment(nbf, now))
}

/// When the token was issued, as it says.
pub fn issue(iat: f64, now: f64) -> String {
    format!("issued {}", moment(iat, now))
}

fn moment(then: f64, now: f64) -> String {
    let away = (then - now).abs();
    let distance = if away < 1.0 {
        "now".into()
    } else if then > now {
        format!("in {}", duration(away))
    } else {
        format!("{} ago", duration(away))
    };
    let hint = if then > MILLISECONDS {
        " (is it in milliseconds? it counts seconds)"
    } else {
        ""
    };
    format!("{distance}, {}{hint}", date(then))
}

fn duration(seconds: f64) -> String {
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = unit.unwrap_or(&UNITS[UNITS.len() - 1]);
    let count = (seconds / unit).floor();
    let plural = if count == 1.0 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

fn date(seconds: f64) -> String {
    if !(0.0..END_OF_DATES).contains(&seconds) {
        return if seconds < 0.0 {
            "before 1970"
        } else {
            "after the year 9999"
        }
        .into();
    }
    let time = UNIX_EPOCH + Duration::from_secs(seconds.floor() as u64);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: f64 = 1_700_000_000.0;

    #[test]
    fn moments_are_told_in_words() {
        assert_eq!(
            expiry(NOW - 180.0, NOW),
            "expired 3 minutes ago, 2023-11-14T22:10:20Z"
        );
        assert_eq!(
            expiry(NOW + 1.0, NOW),
            "expires in 1 second, 2023-11-14T22:13:21Z"
        );
        assert_eq!(expiry(NOW, NOW + 0.9), "expires now, 2023-11-14T22:13:20Z");
        assert!(beginning(NOW + 7200.5, NOW).starts_with("becomes good in 2 hours, "));
        assert!(issue(NOW - 90.0 * 86_400.0, NOW).starts_with("issued 90 days ago, "));
    }

    #[test]
    fn milliseconds_are_pointed_out() {
        let text = expiry(NOW * 1000.0, NOW);
        assert!(text.ends_with("after the year 9999 (is it in milliseconds? it counts seconds)"));
    }

    proptest! {
        #[test]
        fn no_number_makes_it_panic(then in any::<f64>(), now in 0.0..1e12) {
            let _ = (expiry(then, now), beginning(then, now), issue(then, now));
        }
    }
}
