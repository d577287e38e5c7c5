//! Which part of an image a download asks for: `Range`, or `Content-Range` as old clients have it (glance/common/wsgi.py,
//! `get_range_from_request`).

use std::ops::Range;

use http::{HeaderMap, header};
use novella_rest::ApiError;

/// The part that is asked for; `None`: all.
///
/// # Errors
/// 400 for several, 416 for one that there is not.
pub(super) fn range(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, ApiError> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default());
    if let Some(text) = text(header::RANGE) {
        return of_range(text, size).map(Some);
    }
    text(header::CONTENT_RANGE).map(|text| of_content_range(text, size)).transpose()
}

fn unsatisfiable(text: impl Into<String>) -> ApiError {
    ApiError::RangeNotSatisfiable(text.into())
}

fn bad_start(what: &str, size: u64) -> ApiError {
    unsatisfiable(format!(
        "Invalid start position in {what} header. Start position MUST be in the inclusive range [0, {}].",
        i128::from(size) - 1
    ))
}

/// `bytes=0-9`, `bytes=5-`, `bytes=-5`.
fn of_range(text: &str, size: u64) -> Result<Range<u64>, ApiError> {
    if text.contains(',') {
        return Err(ApiError::bad_request(
            "Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests instead.",
        ));
    }
    let invalid = || unsatisfiable("Invalid Range header.");
    let (unit, range) = text.split_once('=').ok_or_else(invalid)?;
    let (first, last) = range.trim().split_once('-').ok_or_else(invalid)?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Err(invalid());
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| invalid());
    if first.is_empty() {
        return Ok(size.saturating_sub(number(last)?)..size);
    }
    let first = number(first)?;
    let end = if last.is_empty() { size } else { number(last)?.saturating_add(1) };
    if !last.is_empty() && end <= first {
        return Err(invalid());
    }
    if first >= size {
        return Err(bad_start("Range", size));
    }
    Ok(first..end.min(size))
}

/// `bytes 0-4/1000`, `bytes 0-4/*`.
fn of_content_range(text: &str, size: u64) -> Result<Range<u64>, ApiError> {
    let invalid = || unsatisfiable("Invalid Content-Range header.");
    let range = text.strip_prefix("bytes ").ok_or_else(invalid)?;
    let (range, whole) = range.split_once('/').ok_or_else(invalid)?;
    let (first, last) = range.split_once('-').ok_or_else(invalid)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| invalid());
    let (first, end) = (number(first)?, number(last)?.saturating_add(1));
    let whole = if whole == "*" { None } else { Some(number(whole)?) };
    if end <= first || whole.is_some_and(|whole| end > whole) {
        return Err(invalid());
    }
    if whole.is_none() && end > size {
        return Err(unsatisfiable(format!(
            "Invalid stop position in Content-Range header. The stop position MUST be in the inclusive range [0, {}].",
            i128::from(size) - 1
        )));
    }
    if first >= size || end > size {
        return Err(bad_start("Content-Range", size));
    }
    Ok(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, text: &str, size: u64) -> Result<Option<Range<u64>>, String> {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), text.parse().unwrap())]);
        range(&headers, size).map_err(|error| error.to_string())
    }

    #[test]
    fn one_part_is_read_in_each_of_its_forms() {
        for (text, part) in [
            ("bytes=0-9", 0..10),
            ("bytes=5-", 5..100),
            ("bytes=-5", 95..100),
            ("bytes=-500", 0..100),
            ("bytes=90-500", 90..100),
            ("bytes=99-99", 99..100),
        ] {
            assert_eq!(asked("range", text, 100), Ok(Some(part)), "{text}");
        }
        assert_eq!(asked("content-range", "bytes 0-4/100", 100), Ok(Some(0..5)));
        assert_eq!(asked("content-range", "bytes 0-4/*", 100), Ok(Some(0..5)));
        assert_eq!(range(&HeaderMap::new(), 100).unwrap(), None);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["bytes=100-", "bytes=9-5", "bytes", "items=0-1", "bytes=a-b", "bytes=-"] {
            assert!(asked("range", text, 100).is_err(), "{text}");
        }
        assert!(asked("range", "bytes=100-", 100).unwrap_err().ends_with("[0, 99]."));
        assert!(asked("range", "bytes=0-1,3-4", 100).unwrap_err().contains("multiple ranges"));
        for text in ["bytes 0-100/*", "bytes 100-101/*", "bytes 5-4/100", "0-4/100", "bytes 0-4/3"] {
            assert!(asked("content-range", text, 100).is_err(), "{text}");
        }
        assert!(asked("range", "bytes=0-", 0).is_err());
    }
}
