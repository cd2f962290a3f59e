//! Choosing which of the waiting rows share a forward pass.

/// Of a pass's positions, at most one in so many is padding,
const PADDING: usize = 25;
/// or of the budget one in so many: a small pass leaves the device so much to spare that a little padding costs nothing.
const SLACK: usize = 128;

/// Chooses a batch among rows of these lengths, given in the order of their arrival: their indexes, in that order too.
///
/// A pass costs its longest row's length times the number of rows, so rows of similar length belong together. The batch
/// always holds the oldest row, so that none waits for ever; around it come the rows next to it in length, as many as the
/// budget and the bound of padding allow and, of equally many, those that waste the least on padding. The oldest row goes
/// alone if it exceeds the budget by itself.
pub(super) fn pack(lengths: &[usize], budget: usize) -> Vec<usize> {
    if lengths.is_empty() {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    // Of equal lengths the older first, and so the oldest row before all of its length.
    order.sort_by_key(|&i| (lengths[i], i));
    let oldest = order.iter().position(|&i| i == 0).unwrap_or_default();
    let is_bearable = |padding: usize, positions: usize| padding <= (positions / PADDING).max(budget / SLACK);
    let mut best = (oldest, oldest + 1);
    let mut best_rank = (1, std::cmp::Reverse(0));
    for end in oldest + 1..=order.len() {
        let longest = lengths[order[end - 1]];
        let fit = budget.checked_div(longest).unwrap_or(usize::MAX);
        if fit < end - oldest {
            break;
        }
        let mut start = end.saturating_sub(fit);
        let mut padding = order[start..end].iter().map(|&i| longest - lengths[i]).sum::<usize>();
        // The shortest rows leave until the padding is bearable, but never the oldest row.
        while !is_bearable(padding, longest * (end - start)) && start < oldest {
            padding -= longest - lengths[order[start]];
            start += 1;
        }
        if !is_bearable(padding, longest * (end - start)) {
            continue;
        }
        let rank = (end - start, std::cmp::Reverse(padding));
        if rank > best_rank {
            (best, best_rank) = ((start, end), rank);
        }
    }
    let mut chosen = order[best.0..best.1].to_vec();
    chosen.sort_unstable();
    chosen
}

/// Whether `chosen` of the waiting rows fill a pass: no further row like them would fit, or so much waits beside them that
/// the device should not idle for the sake of a better fit. That is so, too, when half of the rows that may be in flight
/// wait: the other half are those that are prepared while the device works.
pub(super) fn is_full(lengths: &[usize], chosen: &[usize], budget: usize, prefetch: usize) -> bool {
    let longest = chosen.iter().map(|&i| lengths[i]).max().unwrap_or_default();
    longest * (chosen.len() + 1) > budget
        || lengths.len() * 2 >= prefetch
        || lengths.iter().sum::<usize>() >= budget.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(lengths: &[usize], chosen: &[usize]) -> usize {
        chosen.iter().map(|&i| lengths[i]).max().unwrap_or_default() * chosen.len()
    }

    #[test]
    fn nothing_packs_to_nothing() {
        assert_eq!(pack(&[], 100), Vec::<usize>::new());
    }

    #[test]
    fn rows_that_fit_go_together_in_order() {
        assert_eq!(pack(&[100, 102, 101], 306), vec![0, 1, 2]);
    }

    #[test]
    fn padding_is_bounded() {
        assert_eq!(pack(&[100, 96, 100, 50], 1_000), vec![0, 1, 2]);
        assert_eq!(pack(&[96, 100, 80, 100, 100], 1_000), vec![0, 1, 3, 4]);
        assert_eq!(pack(&[50, 100, 100], 1_000), vec![0]);
        assert_eq!(pack(&[100, 50, 50], 1_000), vec![0]);
        // Of a small pass one in 128 of the budget.
        assert_eq!(pack(&[10, 12, 10], 1_000), vec![0, 1, 2]);
    }

    #[test]
    fn a_pass_is_full_when_no_row_like_its_own_would_fit() {
        assert!(!is_full(&[10, 30, 20], &[0, 1, 2], 120, 64));
        assert!(is_full(&[10, 30, 20], &[0, 1, 2], 119, 64));
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
    fn the_oldest_row_goes_first_even_if_others_would_fill_more() {
        assert_eq!(pack(&[100, 10, 10, 10, 10], 100), vec![0]);
        assert_eq!(pack(&[10, 100, 10], 100), vec![0, 2]);
    }

    #[test]
    fn a_row_beyond_the_budget_goes_alone() {
        assert_eq!(pack(&[500, 1, 1], 100), vec![0]);
    }

    #[test]
    fn rows_of_similar_length_go_together() {
        assert_eq!(pack(&[10, 60, 61, 12, 10], 24), vec![0, 4]);
        assert_eq!(pack(&[60, 10, 11, 59, 12], 120), vec![0, 3]);
        assert_eq!(pack(&[100, 600, 610, 120, 100], 1_000), vec![0, 4]);
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
                let padded = cost(&waiting, &chosen);
                assert!(chosen.len() == 1 || padded <= budget, "{chosen:?} of {waiting:?}");
                let real: usize = chosen.iter().map(|&i| waiting[i]).sum();
                assert!(padded - real <= (padded / PADDING).max(budget / SLACK), "{chosen:?} of {waiting:?}");
                for index in chosen.into_iter().rev() {
                    waiting.remove(index);
                }
            }
        }
    }

    #[test]
    fn bucketing_wastes_less_than_packing_by_arrival() {
        let lengths: Vec<usize> = (0..64).map(|i| if i % 2 == 0 { 150 } else { 600 }).collect();
        let mut waiting = lengths.clone();
        let mut padded = 0;
        while !waiting.is_empty() {
            let chosen = pack(&waiting, 2_400);
            padded += cost(&waiting, &chosen);
            for index in chosen.into_iter().rev() {
                waiting.remove(index);
            }
        }
        assert_eq!(padded, lengths.iter().sum::<usize>());
    }
}
