//! What a check has from its parents, found for those that somebody asks about.

use crate::model::index::{CheckIndex, CheckSet};

/// Which checks have a property that passes from parents to those that depend on them, as far as it is known. Each check is
/// looked at once, however many are asked about; what nobody asks about is not looked at.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    known: CheckSet,
    having: CheckSet,
}

impl Inherited {
    /// It is known of each of so many checks, whatever their parents are, and `all` of them have it or none does.
    pub(super) fn known(count: usize, all: bool) -> Self {
        let known: CheckSet = CheckIndex::first(count).collect();
        Self { having: if all { known.clone() } else { CheckSet::default() }, known }
    }

    /// Whether the check at `index` has it. `own` says so of a check by itself, and nothing where one of its `parents`
    /// having it decides.
    pub(super) fn has<'p>(
        &mut self,
        index: CheckIndex,
        own: impl Fn(CheckIndex) -> Option<bool>,
        parents: impl Fn(CheckIndex) -> &'p [CheckIndex],
    ) -> bool {
        // Chains of checks can be long: no recursion. A check is left once its parents are known. There are no rings; one
        // would end where it began.
        let mut inside = Vec::new();
        if self.known.insert(index) {
            inside.push((index, 0));
        }
        while let Some((at, visited)) = inside.last_mut() {
            let at = *at;
            let found = match (own(at), parents(at).get(*visited).copied()) {
                (Some(has), _) => has,
                (None, None) => false,
                (None, Some(parent)) if self.having.contains(parent) => true,
                (None, Some(parent)) => {
                    if self.known.insert(parent) {
                        inside.push((parent, 0));
                    } else {
                        *visited += 1;
                    }
                    continue;
                }
            };
            inside.pop();
            if found {
                self.having.insert(at);
            }
        }
        self.having.contains(index)
    }

    /// How many checks have been looked at.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.known.iter().count()
    }
}
