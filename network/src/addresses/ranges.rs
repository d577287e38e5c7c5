//! Ranges of numbers, both ends included: plain arithmetic.

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Range {
    /// One number.
    pub(crate) const fn only(number: u128) -> Self {
        Self { first: number, last: number }
    }

    /// Whether a number is in it.
    pub(crate) const fn contains(&self, number: u128) -> bool {
        self.first <= number && number <= self.last
    }

    /// How many numbers there are in it; the largest number, if there are more.
    pub(crate) const fn size(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// What is left without a part of it.
    pub(crate) fn without(self, part: Self) -> impl Iterator<Item = Self> {
        let below = part.first.checked_sub(1).filter(|last| self.first <= *last);
        let above = part.last.checked_add(1).filter(|first| *first <= self.last);
        let below = below.map(|last| Self { first: self.first, last });
        below.into_iter().chain(above.map(|first| Self { first, last: self.last }))
    }
}

/// What is left of ranges without these numbers, which are in order.
pub(crate) fn without(ranges: &[Range], taken: &[u128]) -> Vec<Range> {
    let mut left = Vec::new();
    for range in ranges {
        let mut rest = Some(*range);
        for number in taken {
            let Some(current) = rest.filter(|current| current.contains(*number)) else { continue };
            rest = None;
            for piece in current.without(Range::only(*number)) {
                if piece.first > *number {
                    rest = Some(piece);
                } else {
                    left.push(piece);
                }
            }
        }
        left.extend(rest);
    }
    left
}

/// The same numbers in as few ranges as can be, in order.
pub(crate) fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(before) if range.first <= before.last.saturating_add(1) => before.last = before.last.max(range.last),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A number is in what is left if it was in a range and was not taken.
        #[test]
        fn what_is_left_is_what_was_there_and_not_taken(
            ends in proptest::collection::vec(0u128..60, 0..6), taken in proptest::collection::btree_set(0u128..60, 0..20),
        ) {
            let mut ends = ends;
            ends.sort_unstable();
            ends.dedup();
            let ranges: Vec<Range> =
                ends.chunks_exact(2).map(|pair| Range { first: pair[0], last: pair[1] }).collect();
            let taken: Vec<u128> = taken.into_iter().collect();
            let left = without(&ranges, &taken);
            for number in 0..60 {
                let expected = ranges.iter().any(|range| range.contains(number)) && !taken.contains(&number);
                let times = left.iter().filter(|range| range.contains(number)).count();
                prop_assert_eq!(times, usize::from(expected), "{}", number);
            }
            prop_assert!(left.iter().all(|range| range.first <= range.last));
        }
    }

    proptest! {
        #[test]
        fn joined_ranges_hold_the_same_numbers_and_none_is_beside_another(
            ends in proptest::collection::vec((0u128..60, 0u128..6), 0..12),
        ) {
            let ranges: Vec<Range> =
                ends.iter().map(|(first, more)| Range { first: *first, last: first + more }).collect();
            let joined = joined(ranges.clone());
            for number in 0..70 {
                let holds = |ranges: &[Range]| ranges.iter().any(|range| range.contains(number));
                prop_assert_eq!(holds(&joined), holds(&ranges), "{}", number);
            }
            prop_assert!(joined.windows(2).all(|pair| pair[0].last + 1 < pair[1].first), "{:?}", joined);
        }
    }

    #[test]
    fn a_range_of_everything_has_a_size() {
        assert_eq!(Range { first: 0, last: u128::MAX }.size(), u128::MAX);
        let five = Range::only(5);
        assert_eq!(five.without(five).count(), 0);
    }
}
