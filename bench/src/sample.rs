//! Many measurements of one thing, and what is told of them. Percentiles are measured values, never interpolated ones.

/// Measured values in order of size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// All values; what is not a number is left out.
    #[must_use]
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The least value that at least this share of all is not above; 0 to 1. Zero of nothing.
    #[must_use]
    pub(crate) fn share(&self, share: f64) -> f64 {
        let place = (self.sorted.len() as f64 * share).ceil() as usize;
        let place = place.max(1) - 1;
        self.sorted
            .get(place)
            .or(self.sorted.last())
            .copied()
            .unwrap_or_default()
    }

    /// Half are not above it.
    #[must_use]
    pub(crate) fn median(&self) -> f64 {
        self.share(0.5)
    }

    /// `least … greatest`, for the words of a method.
    #[must_use]
    pub(crate) fn range(&self) -> String {
        format!("{:.1} to {:.1}", self.share(0.0), self.share(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sample = Sample::of((1..=100).rev().map(f64::from));
        assert_eq!((sample.median(), sample.share(0.99)), (50.0, 99.0));
        assert_eq!((sample.share(0.0), sample.share(1.0)), (1.0, 100.0));
        assert_eq!(Sample::of([3.0]).share(0.99), 3.0);
        assert_eq!(Sample::of([f64::NAN]).median(), 0.0);
        assert_eq!(sample.range(), "1.0 to 100.0");
    }
}
