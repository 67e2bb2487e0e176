//! Whether two kinds of requests take different times, told by ranks.
//!
//! Times on a busy machine have no mean to speak of: one request in fifty waits for a time slice.
//! So requests come in pairs next to each other in time, of a few pairs the quickest request of each
//! kind is taken, their difference is what is looked at, and only the ranks of the differences count (Wilcoxon, 1945), or their signs alone, which see more
//! where every second pair was held up. What looks like a difference has to be found again in a
//! fresh sample before it is told.

/// What a sample says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Ranked {
    /// The probability of such ranks if nothing differed, two-sided.
    pub(super) p: f64,
    /// The median of the differences, in the unit of the sample.
    pub(super) median: f64,
}

/// What the whole test came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Timing {
    /// It was found and found again: the first sample, and the pairs looked at in all.
    Differs { first: Ranked, again: Ranked, pairs: usize },
    /// It was not.
    Same { last: Ranked, pairs: usize },
}

/// Pairs of which the quickest of each kind make one difference. 6: where seven requests of ten are
/// held up, one in nine of the quickest still is. Even, so that both kinds come first as often.
pub(super) const QUICKEST_OF: usize = 6;

/// Looks at the growing sample. More looks find smaller differences and share the level.
const LOOKS: usize = 3;
/// The level of each look.
const LEVEL: f64 = 0.000_4;
/// The level of the second sample.
const LEVEL_AGAIN: f64 = 0.003;
/// Above this a look shows no trace, and more pairs would be wasted. The first looks are patient: of
/// 30 pairs with every second held up, a real difference may show nothing yet.
const HOPELESS: [f64; LOOKS] = [0.9, 0.5, 0.0];
/// An alarm where nothing differs: at most the looks' levels times half the second's, for the
/// direction has to be the same.
pub(super) const FALSE_ALARM: f64 = LOOKS as f64 * LEVEL * LEVEL_AGAIN / 2.0;

/// Tests whether the differences that `sample` measures lie off zero, by `floor` at least.
pub(super) fn test<E>(
    pairs: usize,
    floor: f64,
    mut sample: impl FnMut(usize) -> Result<Vec<f64>, E>,
) -> Result<Timing, E> {
    let mut seen: Vec<f64> = Vec::new();
    let mut last = Ranked { p: 1.0, median: 0.0 };
    for (look, hopeless) in HOPELESS.into_iter().enumerate() {
        let wanted = pairs << look;
        seen.extend(sample(wanted - seen.len())?);
        last = judged(&seen);
        if last.p < LEVEL && last.median.abs() >= floor {
            let again = judged(&sample(wanted)?);
            let same_way = again.median.signum() == last.median.signum();
            if again.p < LEVEL_AGAIN && same_way && again.median.abs() >= floor {
                return Ok(Timing::Differs { first: last, again, pairs: wanted * 2 });
            }
        }
        if last.p > hopeless {
            break;
        }
    }
    Ok(Timing::Same { last, pairs: seen.len() })
}

/// The better of both tests; having chosen costs a factor of two.
fn judged(differences: &[f64]) -> Ranked {
    let ranks = signed_rank(differences);
    let p = ranks.p.min(signs(differences)) * 2.0;
    Ranked { p: p.min(1.0), ..ranks }
}

/// The sign test, two-sided: zeros are left out.
fn signs(differences: &[f64]) -> f64 {
    let count = |is: fn(&f64) -> bool| differences.iter().filter(|d| is(d)).count() as f64;
    let (positive, negative) = (count(|d| *d > 0.0), count(|d| *d < 0.0));
    let n = positive + negative;
    if n < 1.0 {
        return 1.0;
    }
    let off = ((positive - negative).abs() / 2.0 - 0.5).max(0.0);
    two_sided(off / (n.sqrt() / 2.0))
}

/// Wilcoxon's signed-rank test with the normal approximation, which 30 pairs are enough for; ties
/// share their ranks, and zeros are left out.
fn signed_rank(differences: &[f64]) -> Ranked {
    let mut sorted: Vec<f64> = differences.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = |at: usize| sorted.get(at).copied().unwrap_or(0.0);
    let median =
        f64::midpoint(middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2));

    let mut sizes: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    sizes.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = sizes.len() as f64;
    let (mut positive, mut ties, mut rank) = (0.0, 0.0, 0.0);
    for tied in sizes.chunk_by(|a, b| a.abs().total_cmp(&b.abs()).is_eq()) {
        let t = tied.len() as f64;
        let shared = rank + f64::midpoint(t, 1.0);
        positive += shared * tied.iter().filter(|d| **d > 0.0).count() as f64;
        ties += t * t * t - t;
        rank += t;
    }
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    if variance <= 0.0 {
        return Ranked { p: 1.0, median };
    }
    // Half a rank towards the middle: the statistic is a whole number, the curve is not.
    let off = ((positive - n * (n + 1.0) / 4.0).abs() - 0.5).max(0.0);
    Ranked { p: two_sided(off / variance.sqrt()), median }
}

/// The chance of a normal variable beyond `z` either way: the complementary error function by its
/// continued fraction far out and its series near zero, whichever converges.
fn two_sided(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let gauss = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // erf(x) = 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (1 * 3 * ... (2n+1))
        let (mut term, mut sum) = (x, x);
        for n in 1..60 {
            term *= 2.0 * x * x / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        return (1.0 - 2.0 * gauss * sum).clamp(0.0, 1.0);
    }
    let mut fraction = x;
    for n in (1..=60).rev() {
        fraction = x + f64::from(n) / 2.0 / fraction;
    }
    (gauss / fraction).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift), so that every run sees the same noise.
    struct Noise(u64);

    impl Noise {
        fn unit(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// A request on a busy machine, in milliseconds: mostly quick, now and then a time slice
        /// or several late, and slower for a while.
        fn request(&mut self, load: f64) -> f64 {
            let quick = 1.0 - 0.3 * self.unit().max(1e-9).ln();
            let slices =
                if self.unit() < load { 4.0 * (1.0 + (8.0 * self.unit()).floor()) } else { 0.0 };
            quick + slices
        }

        /// Differences with `extra` milliseconds between the kinds.
        fn pairs(&mut self, count: usize, extra: f64, load: f64) -> Vec<f64> {
            let quickest = |noise: &mut Self| {
                (0..QUICKEST_OF).map(|_| noise.request(load)).fold(f64::INFINITY, f64::min)
            };
            (0..count).map(|_| quickest(self) + extra - quickest(self)).collect()
        }
    }

    fn run(seed: u64, extra: f64, load: f64) -> Timing {
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let sample = |count| Ok::<_, ()>(noise.pairs(count, extra, load));
        test(30, 0.2, sample)
            .unwrap_or(Timing::Same { last: Ranked { p: 1.0, median: 0.0 }, pairs: 0 })
    }

    #[test]
    fn the_curve_is_the_tables() {
        for (z, p) in [
            (0.0, 1.0),
            (1.0, 0.317_310_5),
            (1.959_964, 0.05),
            (2.9, 0.003_731_6),
            (3.290_527, 0.001),
            (5.0, 5.733e-7),
        ] {
            let told = two_sided(z);
            assert!((told - p).abs() < p * 1e-4, "{z}: {told} is not {p}");
        }
    }

    #[test]
    fn ranks_are_wilcoxons() {
        // Ten differences, all but the smallest two positive: W+ = 55 - 3 = 52, z = (24.5 - 0.5) / 9.81.
        let ten = [-1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        let told = signed_rank(&ten);
        assert!(
            (told.p - 0.014_44).abs() < 0.000_1 && (told.median - 5.5).abs() < 1e-9,
            "{told:?}"
        );
        assert!(signed_rank(&[0.0; 40]).p > 0.999);
        assert!(signed_rank(&[]).p > 0.999);
        assert!(signed_rank(&[1.0; 40]).p < 1e-8, "ties share their ranks");
        assert!(signed_rank(&[f64::NAN, f64::INFINITY, -1.0]).p > 0.1);
    }

    #[test]
    fn each_look_keeps_its_level_on_equal_distributions() {
        let mut noise = Noise(77);
        let runs = 20_000;
        let alarms = (0..runs).filter(|_| judged(&noise.pairs(40, 0.0, 0.2)).p < 0.01).count();
        // At most 200 are expected; 260 would be four standard deviations off.
        assert!((60..=260).contains(&alarms), "{alarms} of {runs} below 0.01");
    }

    #[test]
    fn equal_distributions_raise_no_alarm() {
        // At the stated level (below two in a million) 20,000 runs see none.
        const { assert!(FALSE_ALARM < 2e-6) };
        for seed in 1..=20_000_u64 {
            let load = [0.0, 0.1, 0.3, 0.7][(seed % 4) as usize];
            let told = run(seed, 0.0, load);
            assert!(matches!(told, Timing::Same { .. }), "seed {seed}, load {load}: {told:?}");
        }
    }

    #[test]
    fn a_real_difference_is_found_whichever_way() {
        for (extra, load, at_least) in [
            (2.0, 0.0, 1.0),
            (-2.0, 0.1, 0.99),
            (2.0, 0.3, 1.0),
            (2.0, 0.6, 0.99),
            (5.0, 0.3, 1.0),
            (1.0, 0.1, 0.99),
        ] {
            let runs = 500;
            let found = (1..=runs)
                .filter(|s| matches!(run(*s, extra, load), Timing::Differs { .. }))
                .count();
            let share = found as f64 / runs as f64;
            assert!(share >= at_least, "{extra} ms at load {load}: found in {share}");
        }
    }
}
