//! What a flavor's extra spec asks of a value: `>= 4`, `<in> gpu`, `<or> a <or> b`, `s== text`, or the value itself.
//!
//! Source: nova/scheduler/filters/extra_specs_ops.py (34.0.0).

use std::cmp::Ordering;

/// Whether `value` is what is asked for. Where numbers are compared, what is none does not match.
pub(super) fn matches(value: &str, asked: &str) -> bool {
    let mut words = asked.split_whitespace();
    let Some(operator) = words.next() else { return value == asked };
    let first = words.clone().next();
    let numbers = |holds: fn(Ordering) -> bool| {
        let (Some(asked), Ok(value)) = (first, value.trim().parse::<f64>()) else { return false };
        asked.parse::<f64>().ok().and_then(|asked| value.partial_cmp(&asked)).is_some_and(holds)
    };
    let texts = |holds: fn(Ordering) -> bool| first.is_some_and(|asked| holds(value.cmp(asked)));
    match operator {
        "=" | ">=" => numbers(Ordering::is_ge),
        "<=" => numbers(Ordering::is_le),
        "==" => numbers(Ordering::is_eq),
        "!=" => numbers(Ordering::is_ne),
        "s==" => texts(Ordering::is_eq),
        "s!=" => texts(Ordering::is_ne),
        "s<" => texts(Ordering::is_lt),
        "s<=" => texts(Ordering::is_le),
        "s>" => texts(Ordering::is_gt),
        "s>=" => texts(Ordering::is_ge),
        "<in>" => first.is_some_and(|asked| value.contains(asked)),
        "<all-in>" => first.is_some() && words.all(|asked| value.contains(asked)),
        // Every second word is a further `<or>`.
        "<or>" => words.step_by(2).any(|asked| asked == value),
        _ => value == asked,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_operator_does_as_novas() {
        for (value, asked, expected) in [
            ("x", "x", true),
            ("x", "y", false),
            ("", "", true),
            ("123", "= 123", true),
            ("124", "= 123", true),
            ("34", "= 234", false),
            ("34", "=", false),
            ("123", "== 123", true),
            ("123", "!= 123", false),
            ("3", ">= 3.5", false),
            ("3", "<= 3.5", true),
            ("many", ">= 1", false),
            ("abc", "s== abc", true),
            ("abc", "s!= abc", false),
            ("1234", "s< 123", false),
            ("2", "s> 12", true),
            ("12311321", "<in> 11", true),
            ("12310321", "<in> 11", false),
            ("aes mmx aux", "<all-in> aes mmx", true),
            ("aes mmx aux", "<all-in> aes txt", false),
            ("12", "<or> 11 <or> 12", true),
            ("13", "<or> 11 <or> 12", false),
            ("12", "<or> 11 <or> 12 <or>", true),
        ] {
            assert_eq!(matches(value, asked), expected, "{value} {asked}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_compared_as_numbers(value in -1000..1000i32, asked in -1000..1000i32) {
            let with = |operator: &str| matches(&value.to_string(), &format!("{operator} {asked}"));
            prop_assert_eq!(with("="), value >= asked);
            prop_assert_eq!(with(">="), value >= asked);
            prop_assert_eq!(with("<="), value <= asked);
            prop_assert_eq!(with("=="), value == asked);
            prop_assert_eq!(with("!="), value != asked);
        }

        #[test]
        fn nothing_that_is_asked_breaks_it(value in ".{0,12}", asked in "(<or>|<in>|<all-in>|=|>=|s==|.{0,3})( .{0,4}){0,4}") {
            let _ = matches(&value, &asked);
        }
    }
}
