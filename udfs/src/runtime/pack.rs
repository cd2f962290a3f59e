//! Choosing which of the waiting rows share a forward pass.

/// Chooses a batch among rows of these lengths, given in the order of their arrival: their indexes, in that order too.
///
/// A pass costs the sum of its rows' lengths, since models lay rows one behind the other without padding. The batch holds
/// the oldest row, alone if it exceeds the budget by itself, and of the others, the older first, each that still fits.
pub(super) fn pack(lengths: &[usize], budget: usize) -> Vec<usize> {
    let mut rest = budget.max(lengths.first().copied().unwrap_or_default());
    let mut chosen = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        if let Some(left) = rest.checked_sub(*length) {
            rest = left;
            chosen.push(index);
        }
    }
    chosen
}

/// Whether `chosen` of the waiting rows fill a pass: no further row like them would fit, or so much waits beside them that
/// the device should not idle for the sake of a better fit. That is so, too, when half of the rows that may be in flight
/// wait: the other half are those that are prepared while the device works.
pub(super) fn is_full(lengths: &[usize], chosen: &[usize], budget: usize, prefetch: usize) -> bool {
    let taken: usize = chosen.iter().map(|&i| lengths[i]).sum();
    taken + taken / chosen.len().max(1) > budget
        || lengths.len() * 2 >= prefetch
        || lengths.iter().sum::<usize>() >= budget.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_packs_to_nothing() {
        assert_eq!(pack(&[], 100), Vec::<usize>::new());
    }

    #[test]
    fn rows_that_fit_go_together_in_order_whatever_their_length() {
        assert_eq!(pack(&[100, 10, 600], 710), vec![0, 1, 2]);
        assert_eq!(pack(&[100, 10, 600], 709), vec![0, 1]);
    }

    #[test]
    fn a_row_that_does_not_fit_lets_later_ones_pass() {
        assert_eq!(pack(&[10, 100, 10, 81, 80], 100), vec![0, 2, 4]);
    }

    #[test]
    fn a_row_beyond_the_budget_goes_alone() {
        assert_eq!(pack(&[500, 1, 1], 100), vec![0]);
    }

    #[test]
    fn a_pass_is_full_when_no_row_like_its_own_would_fit() {
        assert!(!is_full(&[10, 30, 20], &[0, 1, 2], 80, 64));
        assert!(is_full(&[10, 30, 20], &[0, 1, 2], 79, 64));
        assert!(is_full(&[500], &[0], 100, 64));
        assert!(!is_full(&[10, 90, 90], &[0], 100, 64));
        assert!(is_full(&[10, 95, 95], &[0], 100, 64));
    }

    #[test]
    fn half_of_what_may_be_in_flight_is_enough() {
        assert!(!is_full(&[10; 3], &[0, 1, 2], 1_000, 8));
        assert!(is_full(&[10; 4], &[0, 1, 2, 3], 1_000, 8));
    }

    #[test]
    fn any_mix_respects_the_budget_and_empties() {
        // A linear congruential generator: every mix is the same in every run.
        let mut state = 1_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let budget = 100 + next(4_000) as usize;
            let mut waiting: Vec<usize> = (0..1 + next(80)).map(|_| 1 + next(1_500) as usize).collect();
            while !waiting.is_empty() {
                let chosen = pack(&waiting, budget);
                assert_eq!(chosen[0], 0, "the oldest row must be in the batch");
                assert!(chosen.windows(2).all(|w| w[0] < w[1]), "{chosen:?}");
                let taken: usize = chosen.iter().map(|&i| waiting[i]).sum();
                assert!(chosen.len() == 1 || taken <= budget, "{chosen:?} of {waiting:?}");
                let left = (0..waiting.len()).filter(|i| !chosen.contains(i));
                assert!(left.into_iter().all(|i| taken + waiting[i] > budget), "a row that fits was left");
                for index in chosen.into_iter().rev() {
                    waiting.remove(index);
                }
            }
        }
    }
}
