//! The time that a field tells, as far as rules ask for parts of it.

use crate::siem::sigma::TimePart;
use crate::time::Timestamp;

/// A part of the time that a text tells: `2026-03-02T06:00:00…` as written, or a Unix time (seconds,
/// milliseconds, microseconds or nanoseconds, by its length) in UTC.
pub(super) fn part(text: &str, part: TimePart) -> Option<i64> {
    let text = text.trim();
    let (year, month, day, hour, minute) = match written(text) {
        Some(parts) => parts,
        None => unix(text)?,
    };
    Some(match part {
        TimePart::Minute => minute,
        TimePart::Hour => hour,
        TimePart::Day => day,
        TimePart::Month => month,
        TimePart::Year => year,
        TimePart::Week => week(year, month, day),
    })
}

type Parts = (i64, i64, i64, i64, i64);

fn written(text: &str) -> Option<Parts> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    if !is(4, b"-/") || !is(7, b"-/") {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if text.len() == 10 {
        return Some((year, month, day, 0, 0));
    }
    if !is(10, b"T t") || !is(13, b":") {
        return None;
    }
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    (hour < 24 && minute < 60).then_some((year, month, day, hour, minute))
}

fn unix(text: &str) -> Option<Parts> {
    let whole = text.split('.').next().unwrap_or_default();
    let number: i64 = whole.parse().ok()?;
    let nanos = match whole.len() {
        ..=11 => number.checked_mul(1_000_000_000)?,
        12..=14 => number.checked_mul(1_000_000)?,
        15..=17 => number.checked_mul(1_000)?,
        _ => number,
    };
    let civil = Timestamp::from_unix_nanos(nanos).civil();
    Some((civil.year, civil.month, civil.day, civil.hour, civil.minute))
}

/// The week by ISO 8601: weeks begin on Monday, the first has the year's first Thursday.
fn week(year: i64, month: i64, day: i64) -> i64 {
    let days = Timestamp::days_from_civil(year, month, day);
    let from_monday = (days + 3).rem_euclid(7);
    let thursday = days - from_monday + 3;
    let its_year = [year - 1, year, year + 1]
        .into_iter()
        .rev()
        .find(|candidate| Timestamp::days_from_civil(*candidate, 1, 1) <= thursday);
    let first = Timestamp::days_from_civil(its_year.unwrap_or(year), 1, 1);
    (thursday - first) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_times() {
        let all = |text: &str| {
            [
                TimePart::Year,
                TimePart::Month,
                TimePart::Day,
                TimePart::Hour,
                TimePart::Minute,
                TimePart::Week,
            ]
            .map(|p| part(text, p))
        };
        let some = |parts: [i64; 6]| parts.map(Some);
        assert_eq!(all("2026-03-02T06:07:08.5Z"), some([2026, 3, 2, 6, 7, 10]));
        assert_eq!(all("2023-11-14 22:13:20"), some([2023, 11, 14, 22, 13, 46]));
        assert_eq!(all("1700000000"), some([2023, 11, 14, 22, 13, 46]));
        assert_eq!(all("1700000000123"), some([2023, 11, 14, 22, 13, 46]));
        assert_eq!(all("2021-01-01"), some([2021, 1, 1, 0, 0, 53]));
        assert_eq!(all("2024-12-30"), some([2024, 12, 30, 0, 0, 1]));
        for none in
            ["", "x", "2026-13-01", "2026-01-01T25:00", "99999999999999999999", "2026-é1-01"]
        {
            assert_eq!(all(none), [None; 6], "{none}");
        }
    }
}
