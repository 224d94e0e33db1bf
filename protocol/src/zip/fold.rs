//! When two file names are the same to a file system that does not tell cases apart.
//!
//! The rule is `strToFold` of golang.org/x/mod/zip: each character is replaced by the smallest character of its orbit
//! under Unicode simple folding, with A to Z put to a to z, and two names collide when the results are equal. The facts
//! are in `fold_table.rs`, generated from Go's own tables. Full case folding (ß and ss) is deliberately absent: Go does
//! not do it either.

use super::fold_table::RUNS;

/// What `character` is compared as.
pub(super) fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    let code = u32::from(character);
    let after = RUNS.partition_point(|&(first, ..)| first <= code);
    let Some(&(first, last, stride, distance)) = after.checked_sub(1).and_then(|at| RUNS.get(at))
    else {
        return character;
    };
    if code > last || !(code - first).is_multiple_of(stride) {
        return character;
    }
    char::from_u32(code.wrapping_add_signed(distance)).unwrap_or(character)
}

/// Whether `a` and `b` fold to the same text (`strings.EqualFold`).
pub(super) fn same(a: &str, b: &str) -> bool {
    a.chars().map(fold).eq(b.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::super::fold_table::SUM;
    use super::*;

    #[test]
    fn every_code_point_folds_as_go_folds_it() {
        let sum = (0..=u32::from(char::MAX)).fold(0u64, |sum, code| {
            let folded = char::from_u32(code).map_or(code, |c| u32::from(fold(c)));
            sum.wrapping_mul(1_099_511_628_211)
                .wrapping_add(u64::from(folded))
        });
        assert_eq!(sum, SUM);
    }

    #[test]
    fn the_kelvin_sign_is_a_k_and_sharp_s_is_itself() {
        assert!(same("\u{212a}elvin", "KELVIN"));
        assert!(same("\u{17f}", "S"));
        assert!(!same("\u{df}", "ss"));
    }
}
