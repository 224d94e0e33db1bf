//! Rates as people write them: `2MiB/s`, `500kB`, `20Mbit/s`.

use std::fmt;

use super::Rate;

/// Reads a rate: a number of bytes (`B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`, or nothing) or of bits (`kbit`, `Mbit`, `Gbit`), with or
/// without `/s`. Letters may be of either case, except that `kb`, `Mb` and `Gb` are refused: half of their writers mean bits.
///
/// # Errors
/// What is wrong and what would be right, as one line.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let text = text.trim();
    let fault = |what: &str| format!("{text:?}: {what}");
    let bare = text.strip_suffix("/s").unwrap_or(text).trim_end();
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = bare.split_at(digits);
    let unit = unit.trim_start();
    if unit.len() == 2 && unit.ends_with('b') {
        return Err(fault(
            "this may mean bits or bytes; write 20Mbit/s for bits, 20MB/s for bytes",
        ));
    }
    // Bytes a second, above and below the line.
    let (times, part) = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => (1, 1),
        "kb" => (1_000, 1),
        "mb" => (1_000_000, 1),
        "gb" => (1_000_000_000, 1),
        "kib" => (1 << 10, 1),
        "mib" => (1 << 20, 1),
        "gib" => (1 << 30, 1),
        "kbit" => (1_000, 8),
        "mbit" => (1_000_000, 8),
        "gbit" => (1_000_000_000, 8),
        _ => return Err(fault(EXPECTED)),
    };
    let number: u64 = number.parse().map_err(|_| fault(EXPECTED))?;
    let bytes = number.checked_mul(times).ok_or_else(|| fault(EXPECTED))? / part;
    Rate::new(bytes).ok_or_else(|| {
        fault("below 64KiB/s, at which hosts would take this one for one that hangs")
    })
}

const EXPECTED: &str = "a rate is expected, such as 2MiB/s, 500kB/s or 20Mbit/s";

/// As [`parse_rate`] reads it, to the byte, in the largest unit that allows it.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 6] = [
            (1 << 30, "GiB"),
            (125_000_000, "Gbit"),
            (1 << 20, "MiB"),
            (125_000, "Mbit"),
            (1 << 10, "KiB"),
            (1_000, "kB"),
        ];
        let bytes = self.bytes_per_second();
        // More bits than can be counted are no number of bits.
        let can_be = |unit: &str| !unit.ends_with("bit") || bytes <= u64::MAX / 8;
        let mut units = UNITS.into_iter();
        let unit = units.find(|(size, unit)| bytes.is_multiple_of(*size) && can_be(unit));
        let (size, unit) = unit.unwrap_or((1, "B"));
        write!(f, "{}{unit}/s", bytes / size)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("2MiB/s", 2 << 20),
            ("2MiB", 2 << 20),
            ("2 mib/s", 2 << 20),
            ("500kB/s", 500_000),
            ("500KB", 500_000),
            ("65536", 65_536),
            ("20Mbit/s", 2_500_000),
            ("20mbit", 2_500_000),
            ("1Gbit/s", 125_000_000),
            ("1000kbit/s", 125_000),
            ("1GB/s", 1_000_000_000),
        ] {
            let rate = parse_rate(text).map(Rate::bytes_per_second);
            assert_eq!(rate, Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_rate_is_told_to_the_byte() {
        for (bytes, text) in [
            (2 << 20, "2MiB/s"),
            (3 << 30, "3GiB/s"),
            (2_500_000, "20Mbit/s"),
            (125_000_000, "1Gbit/s"),
            (66_560, "65KiB/s"),
            (70_000, "70kB/s"),
            (65_537, "65537B/s"),
            (u64::MAX, "18446744073709551615B/s"),
        ] {
            let rate = Rate::new(bytes).unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(parse_rate(text), Ok(rate));
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_would_be_one() {
        for (text, word) in [
            ("", "a rate is expected"),
            ("fast", "a rate is expected"),
            ("-1MB/s", "a rate is expected"),
            ("1.5MB/s", "a rate is expected"),
            ("20 apples/s", "a rate is expected"),
            ("20M", "a rate is expected"),
            ("99999999999999999999", "a rate is expected"),
            ("99999999999GiB", "a rate is expected"),
            ("20Mb/s", "bits or bytes"),
            ("500kb", "bits or bytes"),
            ("0", "below 64KiB/s"),
            ("64kB/s", "below 64KiB/s"),
            ("500kbit/s", "below 64KiB/s"),
        ] {
            let refusal = parse_rate(text).unwrap_err();
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }
}
