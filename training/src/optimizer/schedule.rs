//! The learning rate by step.

/// A linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, arXiv 1608.03983), as transformers'
/// `get_cosine_schedule_with_warmup` has it: the first step of a warm-up has a rate of zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub rate: f64,
    /// Steps of the warm-up.
    pub warmup: usize,
    /// All steps.
    pub steps: usize,
}

impl Schedule {
    /// With a warm-up of a share of the steps, rounded up, or, from 1 on, of so many steps.
    pub fn new(rate: f64, warmup: f64, steps: usize) -> Self {
        let warmup = if warmup < 1. { (warmup * steps as f64).ceil() } else { warmup };
        Self { rate, warmup: warmup as usize, steps }
    }

    /// The rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.rate * step as f64 / self.warmup.max(1) as f64;
        }
        let progress = (step - self.warmup) as f64 / self.steps.saturating_sub(self.warmup).max(1) as f64;
        self.rate * (0.5 * (1. + (std::f64::consts::PI * progress).cos())).max(0.)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let schedule = Schedule::new(2., 0.03, 100);
        assert_eq!(schedule.warmup, 3);
        assert_eq!((schedule.at(0), schedule.at(3)), (0., 2.));
        assert!((schedule.at(1) - 2. / 3.).abs() < 1e-12);
        assert!(schedule.at(99) < 1e-3 && schedule.at(100) < 1e-12);
        assert_eq!((Schedule::new(1., 0., 3).at(0), Schedule::new(1., 10., 30).warmup), (1., 10));
    }
}
