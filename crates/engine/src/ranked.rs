//! An ordered set that knows what stands at which place, so that what it has and a part of it lacks is found without
//! walking through what both have.

/// As many as one chunk may hold.
const MOST: usize = 512;

/// Sorted values in sorted chunks, none of them empty.
#[derive(Debug, Clone)]
pub(crate) struct Ranked<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Ranked<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Ord + Copy> Ranked<T> {
    /// Says whether it is new.
    pub(crate) fn insert(&mut self, value: T) -> bool {
        // What is greater than everything goes to the end of the last chunk.
        let at = self
            .chunk_of(&value)
            .min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(vec![value]);
            self.len = 1;
            return true;
        };
        let Err(place) = chunk.binary_search(&value) else {
            return false;
        };
        chunk.insert(place, value);
        self.len += 1;
        if chunk.len() > MOST {
            let rest = chunk.split_off(MOST / 2);
            self.chunks.insert(at + 1, rest);
        }
        true
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, value: &T) -> bool {
        let at = self.chunk_of(value);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return false;
        };
        let Ok(place) = chunk.binary_search(value) else {
            return false;
        };
        chunk.remove(place);
        self.len -= 1;
        let left = chunk.len();
        let next = self.chunks.get(at + 1).map_or(MOST, Vec::len);
        if left == 0 {
            self.chunks.remove(at);
        } else if left + next <= MOST / 2 {
            let rest = self.chunks.remove(at + 1);
            if let Some(chunk) = self.chunks.get_mut(at) {
                chunk.extend(rest);
            }
        }
        true
    }

    pub(crate) fn contains(&self, value: &T) -> bool {
        self.chunks
            .get(self.chunk_of(value))
            .is_some_and(|chunk| chunk.binary_search(value).is_ok())
    }

    pub(crate) fn first(&self) -> Option<T> {
        self.chunks.first()?.first().copied()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whatever is not in `part`, in order. `part` must have nothing that is not here: then the values that both begin with
    /// are those that stand at the same place in both, and the first that differs is found by halves.
    pub(crate) fn all_but(&self, part: Option<&Self>) -> impl Iterator<Item = T> {
        let part = part.filter(|part| !part.is_empty());
        self.starting_at(self.in_common(part))
            .filter(move |value| part.is_none_or(|part| !part.contains(value)))
    }

    /// How many values both begin with.
    fn in_common(&self, part: Option<&Self>) -> usize {
        let Some(part) = part else {
            return 0;
        };
        let (mut same, mut differs) = (0, part.len.min(self.len));
        while same < differs {
            let middle = same.midpoint(differs);
            if self.at(middle) == part.at(middle) {
                same = middle + 1;
            } else {
                differs = middle;
            }
        }
        same
    }

    fn at(&self, place: usize) -> Option<T> {
        let (chunk, place) = self.find(place);
        self.chunks.get(chunk)?.get(place).copied()
    }

    /// The values from this place on.
    fn starting_at(&self, place: usize) -> impl Iterator<Item = T> {
        let (chunk, place) = self.find(place);
        let chunks = self.chunks.get(chunk..).unwrap_or_default();
        chunks.iter().flatten().skip(place).copied()
    }

    /// Which chunk holds what stands at this place, and where in it.
    fn find(&self, place: usize) -> (usize, usize) {
        let mut left = place;
        for (number, chunk) in self.chunks.iter().enumerate() {
            if left < chunk.len() {
                return (number, left);
            }
            left -= chunk.len();
        }
        (self.chunks.len(), 0)
    }

    /// The first chunk that ends with this value or a greater one.
    fn chunk_of(&self, value: &T) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.last().is_some_and(|last| last < value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Numbers that look random.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed | 1;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
    }

    #[test]
    fn it_is_the_set_that_it_seems_to_be() {
        let (mut ranked, mut plain) = (Ranked::default(), BTreeSet::new());
        // Grows to several chunks, then shrinks to nothing.
        for (step, number) in numbers(7).take(40_000).enumerate() {
            let value = number % 4_000;
            let grows = number >> 40 & 7 < if step < 15_000 { 6 } else { 1 };
            if grows {
                assert_eq!(ranked.insert(value), plain.insert(value));
            } else {
                assert_eq!(ranked.remove(&value), plain.remove(&value));
            }
            assert_eq!(ranked.len(), plain.len());
            assert_eq!(ranked.contains(&number), plain.contains(&number));
            assert_eq!(ranked.first(), plain.first().copied());
            if step % 500 == 0 {
                assert!(ranked.all_but(None).eq(plain.iter().copied()));
            }
        }
        for value in 0..4_000 {
            assert_eq!(ranked.remove(&value), plain.remove(&value));
        }
        assert!(ranked.is_empty() && ranked.chunks.is_empty());
    }

    #[test]
    fn what_a_part_lacks_is_found_wherever_it_begins() {
        let mut all = Ranked::default();
        for value in 0..3_000_u64 {
            all.insert(value);
        }
        for (begin, every) in [(0, 1), (1, 7), (511, 2), (1_500, 900), (2_999, 1)] {
            // All before `begin`, and some after it.
            let lacks = |value: u64| value >= begin && (value - begin).is_multiple_of(every);
            let mut part = Ranked::default();
            for value in (0..3_000).filter(|value| !lacks(*value)) {
                part.insert(value);
            }
            let left = all.all_but(Some(&part));
            assert!(left.eq((0..3_000).filter(|value| lacks(*value))));
        }
        assert_eq!(all.all_but(Some(&all)).next(), None);
        assert!(all.all_but(None).eq(0..3_000));
    }
}
