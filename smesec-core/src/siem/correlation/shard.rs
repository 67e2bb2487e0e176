//! Which part of a group decides its bucket.
//!
//! A correlation and those that build on it have to meet in one bucket, though they may group by
//! different fields. So a bucket is decided by what all of them have in common: where all group by
//! the same fields that is the whole group; where one groups by address and host and its parent by
//! host, it is the host; where they share nothing, all of them live in one bucket.

use super::plan::{From, Link};

/// How a group's bucket is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shard {
    /// By these of its values, in this order.
    Values(Vec<usize>),
    /// By a number that stands for the whole chain.
    Fixed(u32),
}

/// By correlation. `groups` has the number of fields each groups by, `links` who builds on it.
pub(crate) fn shards(groups: &[usize], links: &[Vec<Link>]) -> Vec<Shard> {
    // Fields are numbered through; what a link joins is one field, and one chain.
    let mut first = Vec::new();
    let mut fields = 0;
    for group in groups {
        first.push(fields);
        fields += group;
    }
    let mut field = Joined::new(fields);
    let mut chain = Joined::new(groups.len());
    for (child, links) in links.iter().enumerate() {
        for link in links {
            let parent = link.parent as usize;
            chain.join(child, parent);
            for (at, from) in link.group.iter().enumerate() {
                if let From::Group(of_child) = from
                    && let (Some(child), Some(parent)) = (first.get(child), first.get(parent))
                {
                    field.join(child + of_child, parent + at);
                }
            }
        }
    }
    let members: Vec<usize> = (0..groups.len()).map(|at| chain.of(at)).collect();
    let classes: Vec<usize> = (0..fields).map(|at| field.of(at)).collect();
    // Where a correlation has a class among its fields.
    let place = |correlation: usize, class: usize| {
        let from = first.get(correlation)?;
        let count = groups.get(correlation)?;
        classes.get(*from..from + count)?.iter().position(|c| *c == class)
    };
    (0..groups.len())
        .map(|at| {
            let mine = members.get(at).copied().unwrap_or(at);
            let chain = || (0..groups.len()).filter(|other| members.get(*other) == Some(&mine));
            let mut shared: Vec<usize> = (0..fields)
                .filter(|class| classes.get(*class) == Some(class))
                .filter(|class| chain().all(|other| place(other, *class).is_some()))
                .collect();
            shared.sort_unstable();
            let values: Vec<usize> =
                shared.into_iter().filter_map(|class| place(at, class)).collect();
            if values.is_empty() {
                Shard::Fixed(u32::try_from(mine).unwrap_or_default())
            } else {
                Shard::Values(values)
            }
        })
        .collect()
}

/// Union-find.
struct Joined {
    to: Vec<usize>,
}

impl Joined {
    fn new(count: usize) -> Self {
        Self { to: (0..count).collect() }
    }

    fn of(&self, mut at: usize) -> usize {
        while let Some(next) = self.to.get(at)
            && *next != at
        {
            at = *next;
        }
        at
    }

    /// The smaller number stands for both.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        if let Some(to) = self.to.get_mut(a.max(b)) {
            *to = a.min(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(parent: u32, group: Vec<From>) -> Link {
        Link { parent, steps: 1, group, values: Vec::new(), carry: Vec::new() }
    }

    #[test]
    fn chains_meet_by_what_they_share() {
        let shared =
            shards(&[2, 2], &[vec![link(1, vec![From::Group(1), From::Group(0)])], vec![]]);
        assert_eq!(shared, [Shard::Values(vec![0, 1]), Shard::Values(vec![1, 0])]);

        let part = shards(&[2, 1], &[vec![link(1, vec![From::Group(1)])], vec![]]);
        assert_eq!(part, [Shard::Values(vec![1]), Shard::Values(vec![0])]);

        let none = shards(&[1, 1], &[vec![link(1, vec![From::Carry(0)])], vec![]]);
        assert_eq!(none, [Shard::Fixed(0), Shard::Fixed(0)]);

        let apart = shards(&[1, 0, 3], &[vec![], vec![], vec![]]);
        assert_eq!(apart, [Shard::Values(vec![0]), Shard::Fixed(1), Shard::Values(vec![0, 1, 2])]);
    }
}
