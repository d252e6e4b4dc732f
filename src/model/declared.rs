//! The checks of a plan, and what follows from all of them together: worked out once, when the plan is made.

use std::ops::Deref;
use std::sync::Arc;

use super::definition::{Critical, Definition};
use super::index::{CheckIndex, CheckSet};

/// The checks of a plan, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct DeclaredChecks {
    all: Vec<Arc<Definition>>,
    /// Their positions, in the order of their names.
    by_name: Vec<CheckIndex>,
    /// For each check those that depend on it directly; empty where none depends on any.
    children: Vec<Box<[CheckIndex]>>,
    gating_live: CheckSet,
    gating_ready: CheckSet,
    gating_the_app: CheckSet,
    closing: CheckSet,
}

impl DeclaredChecks {
    /// The position of the check `name`.
    pub(super) fn position(&self, name: &str) -> Option<CheckIndex> {
        let place = self.by_name.binary_search_by(|index| self.all[*index].name.as_str().cmp(name)).ok()?;
        Some(self.by_name[place])
    }

    /// The same, where it probably stands at `near`: a reload leaves most checks in their places.
    #[must_use]
    pub fn position_near(&self, name: &str, near: CheckIndex) -> Option<CheckIndex> {
        let is_there = self.all.get(near.get()).is_some_and(|check| check.name.as_str() == name);
        if is_there { Some(near) } else { self.position(name) }
    }

    /// The checks that depend on the one at `index` directly, in the order of the file.
    #[must_use]
    pub fn children(&self, index: CheckIndex) -> &[CheckIndex] {
        self.children.get(index.get()).map_or(&[], |children| children)
    }

    /// Those that gate `live`.
    #[must_use]
    pub const fn gating_live(&self) -> &CheckSet {
        &self.gating_live
    }

    /// Those that gate `ready`.
    #[must_use]
    pub const fn gating_ready(&self) -> &CheckSet {
        &self.gating_ready
    }

    /// Those that gate `live` or `startup`.
    #[must_use]
    pub const fn gating_the_app(&self) -> &CheckSet {
        &self.gating_the_app
    }

    /// Those that can close anything at all: they gate something, and are critical at least at the start.
    #[must_use]
    pub const fn closing(&self) -> &CheckSet {
        &self.closing
    }
}

impl FromIterator<Arc<Definition>> for DeclaredChecks {
    fn from_iter<T: IntoIterator<Item = Arc<Definition>>>(checks: T) -> Self {
        let all: Vec<Arc<Definition>> = checks.into_iter().collect();
        let mut by_name: Vec<CheckIndex> = CheckIndex::first(all.len()).collect();
        by_name.sort_by(|one, other| all[*one].name.cmp(&all[*other].name));
        let entries = || CheckIndex::first(all.len()).zip(&all);
        let mut children = Vec::new();
        for (child, check) in entries() {
            for parent in &check.depends_on {
                children.resize(all.len(), Vec::new());
                children[*parent].push(child);
            }
        }
        let those = |gates: fn(&Definition) -> bool| {
            entries().filter(move |(_, check)| gates(check)).map(|(index, _)| index).collect()
        };
        Self {
            gating_live: those(|check| check.gates.live),
            gating_ready: those(|check| check.gates.ready),
            gating_the_app: those(|check| check.gates.live || check.gates.startup),
            closing: those(|check| check.gates.any() && check.critical != Critical::No),
            by_name,
            children: children.into_iter().map(Vec::into_boxed_slice).collect(),
            all,
        }
    }
}

impl Deref for DeclaredChecks {
    type Target = [Arc<Definition>];

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl<'a> IntoIterator for &'a DeclaredChecks {
    type Item = &'a Arc<Definition>;
    type IntoIter = std::slice::Iter<'a, Arc<Definition>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl PartialEq for DeclaredChecks {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Arc<Definition>, &Arc<Definition>)| Arc::ptr_eq(one, other) || one == other;
        self.all.len() == other.all.len() && self.all.iter().zip(&other.all).all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::{check, indices};

    #[test]
    fn checks_are_found_by_name_and_know_who_depends_on_them() {
        let behind = |name, parents: &[usize]| Definition { depends_on: indices(parents), ..check(name) };
        let all = [check("z"), behind("a", &[0, 3]), check("m"), behind("b", &[0])].map(Arc::new);
        let checks: DeclaredChecks = all.into_iter().collect();
        for (index, check) in CheckIndex::first(4).zip(&checks) {
            assert_eq!(checks.position(check.name.as_str()), Some(index));
        }
        assert_eq!(checks.position("c"), None);
        for near in CheckIndex::first(9) {
            assert_eq!(
                (checks.position_near("m", near), checks.position_near("c", near)),
                (Some(CheckIndex::new(2)), None)
            );
        }
        assert_eq!(
            (checks.children(CheckIndex::new(0)), checks.children(CheckIndex::new(3))),
            (&indices(&[1, 3])[..], &indices(&[1])[..])
        );
        assert!(checks.children(CheckIndex::new(1)).is_empty());
        let alone: DeclaredChecks = [Arc::new(check("alone"))].into_iter().collect();
        assert!(alone.children(CheckIndex::new(0)).is_empty());
    }
}
