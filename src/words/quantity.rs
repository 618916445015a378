//! Quantities in words: so many of something, and sizes.

/// A number of things, as `1 archive` or `2 archives`.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A size for people, with three digits or so: `12.3 MiB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let case = |bytes, text: &str| assert_eq!(human(bytes), text);
        case(0, "0 B");
        case(1023, "1023 B");
        case(1024, "1.0 KiB");
        case(1536, "1.5 KiB");
        case(1024 * 1024 - 1, "1023.9 KiB");
        case(5 * 1024 * 1024 * 1024, "5.0 GiB");
        case(u64::MAX, "16383.9 PiB");
    }
}
