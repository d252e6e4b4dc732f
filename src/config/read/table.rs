//! The keys that a mapping may have, and what surrounds it.

use crate::base::field::{Field, MatcherType, is_same_key};

/// The keys of a mapping.
#[derive(Clone, Copy, Debug, Default)]
pub struct Table {
    /// Those that are read.
    pub fields: &'static [Field],
    /// Sections of which exactly one must be there.
    pub one_of: &'static [Field],
    /// Those that are known and read elsewhere.
    pub apart: &'static [Field],
    /// The matcher whose words these are.
    pub words_of: Option<&'static MatcherType>,
}

impl Table {
    /// The field for `key`, if it is one of those that are read here, and whether it is one of `one_of`.
    pub(super) fn field(&self, key: &str) -> Option<(&'static Field, bool)> {
        let among = |fields: &'static [Field]| fields.iter().find(|field| is_same_key(field.name, key));
        among(self.fields).map(|field| (field, false)).or_else(|| among(self.one_of).map(|field| (field, true)))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().chain(self.one_of).chain(self.apart)
    }
}

/// What surrounds a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'s> {
    /// Within a step of a workflow captured values may be used.
    pub in_step: bool,
    /// The mapping around it, and what is around that.
    pub around: Option<(&'s Table, &'s Scope<'s>)>,
}
