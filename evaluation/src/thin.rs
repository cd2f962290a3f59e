//! Fewer points of a curve.

/// How many points a curve has at most.
pub(crate) const MOST_POINTS: usize = 200;

/// At most `most` of the points, evenly spaced, the first and the last among them.
pub(crate) fn thinned<T: Copy>(points: &[T], most: usize) -> Vec<T> {
    if points.len() <= most {
        return points.to_vec();
    }
    (0..most).map(|place| points[place * (points.len() - 1) / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_stay_and_no_point_comes_twice() {
        let all: Vec<usize> = (0..1001).collect();
        let few = thinned(&all, 200);
        assert_eq!((few.len(), few[0], few[199]), (200, 0, 1000));
        assert!(few.is_sorted_by(|a, b| a < b));
        assert_eq!(thinned(&all[..200], 200), all[..200]);
        assert!(thinned::<u8>(&[], 200).is_empty());
    }
}
