//! Points in time as logs write them. Each function reads a stamp at the start of a text and gives
//! what follows it.

use crate::time::Timestamp;

const NANOS: i64 = 1_000_000_000;

/// A day and a time of day, zone not yet applied.
#[derive(Clone, Copy, Default)]
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
}

impl Moment {
    /// The point in time at an offset of `zone` seconds east of Greenwich; `None` for days and
    /// hours that do not exist. A leap second is the next minute's first.
    fn at(self, zone: i64) -> Option<Timestamp> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let exists = (1..=days).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..=60).contains(&self.second);
        if !exists {
            return None;
        }
        let days = Timestamp::days_from_civil(self.year, self.month, self.day);
        let seconds = days * 86_400 + self.hour * 3_600 + self.minute * 60 + self.second - zone;
        let nanos = seconds.checked_mul(NANOS)?.checked_add(self.nanos)?;
        Some(Timestamp::from_unix_nanos(nanos))
    }
}

/// ISO 8601 as RFC 3339, RFC 5424, Suricata and Windows write it: `T` or a blank between day and time,
/// any number of decimals, and `Z`, `+hh:mm`, `+hhmm` or nothing (then `zone`, seconds east).
pub(super) fn iso(text: &str, zone: i64) -> Option<(Timestamp, &str)> {
    let mut at = Cursor(text.as_bytes());
    let mut moment = Moment { year: at.digits(4)?, ..Moment::default() };
    at.skip(b"-/")?;
    moment.month = at.digits(2)?;
    at.skip(b"-/")?;
    moment.day = at.digits(2)?;
    at.skip(b"T t")?;
    at.clock(&mut moment)?;
    at.fraction(&mut moment);
    let zone = at.zone().unwrap_or(zone);
    Some((moment.at(zone)?, at.rest(text)))
}

/// `Oct 11 22:14:15` (RFC 3164), also with the year after the day or the decimals that some write.
/// The year is the one that puts the stamp not more than a day after `now`.
pub(super) fn bsd(text: &str, now: Timestamp, zone: i64) -> Option<(Timestamp, &str)> {
    let mut at = Cursor(text.as_bytes());
    let mut moment = Moment { month: at.month()?, ..Moment::default() };
    at.skip(b" ")?;
    let _ = at.skip(b" ");
    moment.day = at.one_or_two()?;
    at.skip(b" ")?;
    let mut ahead = Cursor(at.0);
    if let Some(year) = ahead.digits(4)
        && ahead.skip(b" ").is_some()
    {
        moment.year = year;
        at = ahead;
    }
    at.clock(&mut moment)?;
    at.fraction(&mut moment);
    if moment.year != 0 {
        return Some((moment.at(zone)?, at.rest(text)));
    }
    let latest = now.plus_seconds(86_400);
    // A 29 February is looked for in the last leap year, eight years back at most.
    let year = latest.civil().year;
    let stamp = (0..=8).find_map(|back| {
        Moment { year: year - back, ..moment }.at(zone).filter(|stamp| *stamp <= latest)
    })?;
    Some((stamp, at.rest(text)))
}

/// `10/Oct/2000:13:55:36 -0700`, the access logs'.
pub(super) fn common_log(text: &str, zone: i64) -> Option<(Timestamp, &str)> {
    let mut at = Cursor(text.as_bytes());
    let mut moment = Moment { day: at.digits(2)?, ..Moment::default() };
    at.skip(b"/")?;
    moment.month = at.month()?;
    at.skip(b"/")?;
    moment.year = at.digits(4)?;
    at.skip(b":")?;
    at.clock(&mut moment)?;
    at.fraction(&mut moment);
    let mut ahead = Cursor(at.0);
    let mut zone = zone;
    if ahead.skip(b" ").is_some()
        && let Some(told) = ahead.zone()
    {
        zone = told;
        at = ahead;
    }
    Some((moment.at(zone)?, at.rest(text)))
}

/// `Wed Oct 11 14:32:52.123456 2000`, Apache's error log.
pub(super) fn apache(text: &str, zone: i64) -> Option<(Timestamp, &str)> {
    let mut at = Cursor(text.as_bytes());
    at.0 = at.0.get(3..)?;
    at.skip(b" ")?;
    let mut moment = Moment { month: at.month()?, ..Moment::default() };
    at.skip(b" ")?;
    let _ = at.skip(b" ");
    moment.day = at.one_or_two()?;
    at.skip(b" ")?;
    at.clock(&mut moment)?;
    at.fraction(&mut moment);
    at.skip(b" ")?;
    moment.year = at.digits(4)?;
    Some((moment.at(zone)?, at.rest(text)))
}

/// Seconds since the epoch with decimals (`1364481363.243`), or whole milliseconds, microseconds or
/// nanoseconds, told apart by their magnitude: each unit's range ends where the year 5138 is.
pub(super) fn epoch(text: &str) -> Option<Timestamp> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    let nanos = match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(NANOS)?.checked_add(fraction_of(decimals)?)?,
        100_000_000_000..100_000_000_000_000 => {
            number.checked_mul(1_000_000)?.checked_add(fraction_of(decimals)? / 1_000)?
        }
        100_000_000_000_000..100_000_000_000_000_000 => number.checked_mul(1_000)?,
        _ => number,
    };
    Some(Timestamp::from_unix_nanos(nanos))
}

/// `/Date(1772431201500)/`, milliseconds since the epoch as `PowerShell` and .NET write JSON; a zone
/// that follows the number only tells how to show it.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inner.get(1..)?.find(['+', '-']).map_or(inner.len(), |at| at + 1);
    let millis: i64 = inner.get(..end)?.parse().ok()?;
    Some(Timestamp::from_unix_nanos(millis.checked_mul(1_000_000)?))
}

/// Windows' 100 nanoseconds since 1601.
pub(super) fn filetime(ticks: u64) -> Option<Timestamp> {
    const UNIX: i128 = 116_444_736_000_000_000;
    let nanos = (i128::from(ticks) - UNIX) * 100;
    i64::try_from(nanos).ok().map(Timestamp::from_unix_nanos)
}

/// Decimals as nanoseconds; those beyond nine are cut.
fn fraction_of(decimals: &str) -> Option<i64> {
    let mut nanos = 0;
    let mut unit = NANOS;
    for byte in decimals.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        unit /= 10;
        nanos += i64::from(byte - b'0') * unit;
    }
    Some(nanos)
}

struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut number = 0;
        for byte in digits {
            if !byte.is_ascii_digit() {
                return None;
            }
            number = number * 10 + i64::from(byte - b'0');
        }
        self.0 = rest;
        Some(number)
    }

    fn one_or_two(&mut self) -> Option<i64> {
        self.digits(2).or_else(|| self.digits(1))
    }

    fn skip(&mut self, any: &[u8]) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        any.contains(first).then(|| self.0 = rest)
    }

    fn clock(&mut self, moment: &mut Moment) -> Option<()> {
        moment.hour = self.digits(2)?;
        self.skip(b":")?;
        moment.minute = self.digits(2)?;
        self.skip(b":")?;
        moment.second = self.digits(2)?;
        Some(())
    }

    fn fraction(&mut self, moment: &mut Moment) {
        let [b'.' | b',', rest @ ..] = self.0 else { return };
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let Some((digits, rest)) = rest.split_at_checked(count).filter(|_| count > 0) else {
            return;
        };
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        moment.nanos = fraction_of(digits).unwrap_or_default();
        self.0 = rest;
    }

    fn month(&mut self) -> Option<i64> {
        let (name, rest) = self.0.split_first_chunk::<3>()?;
        let month = match &name.map(|byte| byte.to_ascii_lowercase()) {
            b"jan" => 1,
            b"feb" => 2,
            b"mar" => 3,
            b"apr" => 4,
            b"may" => 5,
            b"jun" => 6,
            b"jul" => 7,
            b"aug" => 8,
            b"sep" => 9,
            b"oct" => 10,
            b"nov" => 11,
            b"dec" => 12,
            _ => return None,
        };
        self.0 = rest;
        Some(month)
    }

    /// `Z`, `+hh:mm` or `+hhmm` as seconds east.
    fn zone(&mut self) -> Option<i64> {
        let (sign, rest) = self.0.split_first()?;
        let sign = match sign {
            b'Z' | b'z' => {
                self.0 = rest;
                return Some(0);
            }
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let mut ahead = Cursor(rest);
        let hours = ahead.digits(2)?;
        let _ = ahead.skip(b":");
        let minutes = ahead.digits(2).unwrap_or_default();
        if hours > 23 || minutes > 59 {
            return None;
        }
        self.0 = ahead.0;
        Some(sign * (hours * 3_600 + minutes * 60))
    }

    fn rest<'t>(&self, text: &'t str) -> &'t str {
        text.get(text.len().saturating_sub(self.0.len())..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stamp: Option<(Timestamp, &str)>) -> String {
        stamp.map_or("none".to_owned(), |(time, rest)| format!("{time}|{rest}"))
    }

    #[test]
    fn every_way_of_writing_a_moment() {
        let iso = |text| told(iso(text, 3_600));
        assert_eq!(iso("2026-03-02T06:00:00.123456789Z x"), "2026-03-02T06:00:00.123456789Z| x");
        assert_eq!(iso("2026-03-02 06:00:00,5"), "2026-03-02T05:00:00.500000000Z|");
        assert_eq!(iso("2026-03-02T06:00:00+0200"), "2026-03-02T04:00:00.000000000Z|");
        assert_eq!(iso("2026-03-02T06:00:00-02:30]"), "2026-03-02T08:30:00.000000000Z|]");
        assert_eq!(iso("2026-02-29T06:00:00Z"), "none");
        assert_eq!(iso("2016-12-31T23:59:60Z"), "2017-01-01T00:00:00.000000000Z|");
        assert_eq!(iso("9999-12-31T00:00:00Z"), "none", "beyond nanoseconds in 64 bits");
        assert_eq!(
            told(common_log("10/Oct/2000:13:55:36 -0700] \"", 0)),
            "2000-10-10T20:55:36.000000000Z|] \""
        );
        assert_eq!(
            told(apache("Wed Oct 11 14:32:52.123456 2000] [", 0)),
            "2000-10-11T14:32:52.123456000Z|] ["
        );
    }

    #[test]
    fn the_year_that_is_not_written() {
        let now = iso("2026-01-01T00:00:30Z", 0).unwrap().0;
        let bsd = |text| told(bsd(text, now, 0));
        assert_eq!(bsd("Dec 31 23:59:59 host"), "2025-12-31T23:59:59.000000000Z| host");
        assert_eq!(bsd("Jan  1 00:00:29 host"), "2026-01-01T00:00:29.000000000Z| host");
        // A sender whose clock is hours ahead is still in this year.
        assert_eq!(bsd("Jan  1 09:00:00 host"), "2026-01-01T09:00:00.000000000Z| host");
        assert_eq!(bsd("Jan  3 00:00:00 host"), "2025-01-03T00:00:00.000000000Z| host");
        assert_eq!(bsd("Feb 29 12:00:00 host"), "2024-02-29T12:00:00.000000000Z| host");
        assert_eq!(bsd("Mar  2 2011 10:00:00: x"), "2011-03-02T10:00:00.000000000Z|: x");
        assert_eq!(bsd("Feb 30 12:00:00 host"), "none");
    }

    #[test]
    fn numbers_of_every_unit() {
        for text in ["1364481363.243", "1364481363243", "1364481363243000", "1364481363243000000"] {
            assert_eq!(epoch(text).unwrap().unix_nanos(), 1_364_481_363_243_000_000, "{text}");
        }
        assert_eq!(epoch("x"), None);
        for text in ["/Date(1364481363243)/", "/Date(1364481363243+0100)/"] {
            assert_eq!(date(text).unwrap().unix_nanos(), 1_364_481_363_243_000_000, "{text}");
        }
        assert_eq!(date("/Date(-1)/").unwrap().unix_nanos(), -1_000_000);
        assert_eq!(
            (date("/Date()/"), date("/Date(x)/"), date("1364481363243")),
            (None, None, None)
        );
        assert_eq!(filetime(116_444_736_000_000_001).unwrap().unix_nanos(), 100);
    }
}
