//! Who should have which shard: a decision from what the Leases say, without a request.
//!
//! Whatever is free is taken. A replica that has two shards less than another wishes for one of them, and the other gives it, so that
//! replicas that come later get their part and nothing is passed to and fro.

use std::collections::BTreeMap;

/// A shard as one replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Nobody's, or its holder is gone
    Free,
    /// This replica's, and who would take it over
    Mine {
        /// Another replica
        wanted_by: Option<String>,
    },
    /// Another replica's
    Theirs {
        /// Its holder
        holder: String,
        /// Who would take it over
        wanted_by: Option<String>,
    },
}

/// What a replica does about one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take it
    Take,
    /// Stop working on it, and give it to this replica then
    Give(String),
    /// Ask its holder for it
    Wish,
}

/// The steps of replica `own`, by shard.
pub(crate) fn steps(own: &str, views: &BTreeMap<u16, View>) -> BTreeMap<u16, Step> {
    let free: BTreeMap<u16, Step> = views
        .iter()
        .filter(|(_, view)| **view == View::Free)
        .map(|(shard, _)| (*shard, Step::Take))
        .collect();
    if !free.is_empty() {
        return free;
    }
    give(own, views)
        .or_else(|| wish(own, views))
        .into_iter()
        .collect()
}

/// One shard at a time, so that every step is judged by what is so then.
fn give(own: &str, views: &BTreeMap<u16, View>) -> Option<(u16, Step)> {
    views.iter().find_map(|(shard, view)| match view {
        View::Mine {
            wanted_by: Some(other),
        } if held(own, own, views) >= held(own, other, views) + 2 => {
            Some((*shard, Step::Give(other.clone())))
        }
        _ => None,
    })
}

fn wish(own: &str, views: &BTreeMap<u16, View>) -> Option<(u16, Step)> {
    let waits = views
        .values()
        .any(|view| matches!(view, View::Theirs { wanted_by: Some(by), .. } if by == own));
    if waits {
        return None;
    }
    let holder = |view: &View| match view {
        View::Theirs {
            holder,
            wanted_by: None,
        } => Some(holder.clone()),
        _ => None,
    };
    let (shard, richest) = views
        .iter()
        .filter_map(|(shard, view)| Some((*shard, holder(view)?)))
        .max_by_key(|(_, holder)| held(own, holder, views))?;
    let is_worth = held(own, &richest, views) >= held(own, own, views) + 2;
    is_worth.then_some((shard, Step::Wish))
}

/// How many shards `replica` holds, as `own` sees it.
fn held(own: &str, replica: &str, views: &BTreeMap<u16, View>) -> usize {
    let is_held = |view: &&View| match view {
        View::Free => false,
        View::Mine { .. } => replica == own,
        View::Theirs { holder, .. } => holder == replica,
    };
    views.values().filter(is_held).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` holds the shard, `a<b` holds it and `b` wants it, `-` is free.
    fn views(own: &str, words: &str) -> BTreeMap<u16, View> {
        let view = |word: &str| {
            let (holder, wanted_by) = word
                .split_once('<')
                .map_or((word, None), |(holder, by)| (holder, Some(by.to_owned())));
            match holder {
                "-" => View::Free,
                _ if holder == own => View::Mine { wanted_by },
                _ => View::Theirs {
                    holder: holder.to_owned(),
                    wanted_by,
                },
            }
        };
        (0..).zip(words.split(' ').map(view)).collect()
    }

    fn decided(own: &str, words: &str) -> Vec<(u16, Step)> {
        steps(own, &views(own, words)).into_iter().collect()
    }

    #[test]
    fn decisions() {
        let give = |shard, to: &str| vec![(shard, Step::Give(to.to_owned()))];
        for (own, words, expected) in [
            ("a", "-", vec![(0, Step::Take)]),
            ("a", "- b -", vec![(0, Step::Take), (2, Step::Take)]),
            ("a", "b", vec![]),
            ("a", "a b", vec![]),
            ("b", "a a", vec![(1, Step::Wish)]),
            ("b", "a a<b", vec![]),
            ("c", "a a<b", vec![(0, Step::Wish)]),
            ("a", "a a<b", give(1, "b")),
            ("a", "a<b b", vec![]),
            ("a", "a<b a b", vec![]),
            ("a", "a<b a a b", give(0, "b")),
            ("c", "a a b", vec![(1, Step::Wish)]),
            ("a", "a a<c b", give(1, "c")),
        ] {
            assert_eq!(decided(own, words), expected, "{own} of {words}");
        }
    }

    #[test]
    fn everybody_gets_a_part_and_then_nothing_moves() {
        for count in 1..=9_u16 {
            for replicas in 1..=5_usize {
                let names: Vec<String> = (0..replicas).map(|n| n.to_string()).collect();
                let mut holders: Vec<(Option<String>, Option<String>)> =
                    vec![(None, None); usize::from(count)];
                let mut moved = true;
                let mut rounds = 0;
                while moved {
                    moved = false;
                    for name in &names {
                        let words: Vec<String> = holders.iter().map(word).collect();
                        for (shard, step) in decided(name, &words.join(" ")) {
                            moved = true;
                            let place = &mut holders[usize::from(shard)];
                            match step {
                                Step::Take => *place = (Some(name.clone()), None),
                                Step::Give(to) => *place = (Some(to), None),
                                Step::Wish => place.1 = Some(name.clone()),
                            }
                        }
                        // Keeping a Lease takes back the wishes that were not granted.
                        for (holder, by) in &mut holders {
                            if holder.as_ref() == Some(name) {
                                *by = None;
                            }
                        }
                    }
                    rounds += 1;
                    assert!(rounds < 100, "{count} shards of {replicas} never rest");
                }
                let held = |name: &String| {
                    let own = holders.iter().filter(|(own, _)| own.as_ref() == Some(name));
                    own.count()
                };
                let (most, least) = (names.iter().map(held).max(), names.iter().map(held).min());
                assert!(
                    most <= least.map(|least| least + 1),
                    "{count} of {replicas}: {holders:?}"
                );
            }
        }
    }

    fn word((holder, by): &(Option<String>, Option<String>)) -> String {
        match (holder, by) {
            (None, _) => "-".to_owned(),
            (Some(holder), None) => holder.clone(),
            (Some(holder), Some(by)) => format!("{holder}<{by}"),
        }
    }
}
