//! A check once it has been read and its warnings are told: what the rules about all checks together need of it, and what
//! becomes its definition. Its keys are gone by then, which take many times as much.

use std::mem;
use std::sync::Arc;

use super::check::{CheckDraft, DependsOnItem, KindSection};
use super::top::line;
use crate::base::name::CheckName;
use crate::base::value::{SourceSpan, Spanned, Text, Value};
use crate::config::expansion::is_only_expansions;
use crate::config::{CheckTarget, Config};
use crate::model::durations::DurationBuckets;
use crate::model::index::CheckIndex;
use crate::model::outcome::one_line;
use crate::model::plan::{Definition, DisabledCheck};

/// A check that has been read.
#[derive(Debug)]
pub struct CheckOutline {
    /// Where it stands.
    pub place: SourceSpan,
    /// The line, column and width of its name.
    name_at: Option<(u32, u32, u32)>,
    /// Its name, if that follows the rule.
    pub name: Option<CheckName>,
    /// What most have nothing of: there may be thousands of outlines at the same time.
    rare: Option<Box<RareOutline>>,
    /// What it is without its parents, when all of it could be read.
    declared: Option<(Arc<Definition>, CheckTarget)>,
}

/// What few checks have.
#[derive(Debug, Default)]
struct RareOutline {
    refused_name: Option<String>,
    depends_on: Vec<DependsOnItem>,
    disabled: Option<String>,
    plain_token: Option<SourceSpan>,
    pushed: Option<SourceSpan>,
    formerly: Option<(CheckName, SourceSpan)>,
}

impl RareOutline {
    /// What is kept of it.
    fn kept(self) -> Option<Box<Self>> {
        let Self { refused_name, depends_on, disabled, plain_token, pushed, formerly } = &self;
        let is_some = refused_name.is_some()
            || !depends_on.is_empty()
            || disabled.is_some()
            || plain_token.is_some()
            || pushed.is_some()
            || formerly.is_some();
        is_some.then(|| Box::new(self))
    }
}

impl CheckOutline {
    /// What is left of `draft`, which is probably at `position`. Where `before` has the same check, it is that one: the
    /// memory of a reload is then that of what it changes.
    #[must_use]
    pub fn of(
        mut draft: CheckDraft,
        duration_buckets: &Arc<DurationBuckets>,
        before: Option<&Config>,
        position: CheckIndex,
    ) -> Self {
        let fields = &draft.fields;
        let heartbeat = fields.section("heartbeat");
        let token = heartbeat.and_then(|section| section.get("token"));
        let is_plain = |value: &Value| matches!(value, Value::Text(text) if !is_only_expansions(&text.written));
        let push = heartbeat.and_then(|section| section.get("push"));
        let unnamed = || fields.text("name").and_then(Text::fixed);
        let name_at = |name: &Spanned| (name.span.line, name.span.column, name.span.width);
        let rare = RareOutline {
            refused_name: if draft.name.is_none() { unnamed() } else { None },
            plain_token: token.filter(|token| is_plain(&token.value)).map(|token| token.span.clone()),
            pushed: push.filter(|push| push.value == Value::Bool(true)).map(|push| push.span.clone()),
            depends_on: mem::take(&mut draft.depends_on),
            disabled: draft.disabled.take(),
            formerly: draft.formerly.clone().zip(fields.get("formerly").map(|name| name.span.clone())),
        };
        let mut outline = Self {
            place: fields.span().clone(),
            name_at: fields.get("name").map(name_at),
            declared: declared(&draft, duration_buckets),
            name: draft.name,
            rare: rare.kept(),
        };
        if outline.depends_on().is_empty() {
            outline.declared = outline.declared.map(|declared| shared(declared, before, position));
        }
        outline
    }

    /// Where its name stands, or else the check.
    #[must_use]
    pub fn name_place(&self) -> SourceSpan {
        let Some((line, column, width)) = self.name_at else { return self.place.clone() };
        SourceSpan { path: self.place.path.field(&"name"), line, column, width }
    }

    /// What stands for its name and does not follow the rule.
    #[must_use]
    pub fn refused_name(&self) -> Option<&str> {
        self.rare.as_ref()?.refused_name.as_deref()
    }

    /// What it depends on.
    #[must_use]
    pub fn depends_on(&self) -> &[DependsOnItem] {
        self.rare.as_ref().map_or(&[], |rare| &rare.depends_on)
    }

    /// Its former name, and where that stands.
    #[must_use]
    pub fn formerly(&self) -> Option<&(CheckName, SourceSpan)> {
        self.rare.as_ref()?.formerly.as_ref()
    }

    /// It goes on from nothing.
    pub fn forget_former_name(&mut self) {
        if let Some((definition, _)) = &mut self.declared {
            Arc::make_mut(definition).formerly = None;
        }
    }

    /// Why it is switched off, where it is.
    #[must_use]
    pub fn disabled(&self) -> Option<&str> {
        self.rare.as_ref()?.disabled.as_deref()
    }

    /// Where the token of its beats stands in the file in plain text.
    #[must_use]
    pub fn plain_token(&self) -> Option<&SourceSpan> {
        self.rare.as_ref()?.plain_token.as_ref()
    }

    /// Where it says that its beats are pushed.
    #[must_use]
    pub fn pushed(&self) -> Option<&SourceSpan> {
        self.rare.as_ref()?.pushed.as_ref()
    }

    /// The check as it is shown while it is switched off, when all that is shown of it could be read.
    #[must_use]
    pub fn switched_off(self) -> Option<DisabledCheck> {
        let reason = one_line(self.disabled()?);
        let kind = self.declared?.0.kind;
        Some(DisabledCheck { name: self.name?, kind, reason })
    }

    /// The declared check, when all of it could be read. `parents` are its parents' positions among the checks.
    #[must_use]
    pub fn definition(
        self,
        mut parents: Vec<usize>,
        before: Option<&Config>,
        position: CheckIndex,
    ) -> Option<(Arc<Definition>, CheckTarget)> {
        let mut declared = self.declared?;
        if parents.is_empty() {
            return Some(declared);
        }
        parents.sort_unstable();
        parents.dedup();
        Arc::make_mut(&mut declared.0).depends_on = parents.into_iter().map(CheckIndex::new).collect();
        Some(shared(declared, before, position))
    }
}

/// The check, when all of it could be read, without its parents.
fn declared(draft: &CheckDraft, duration_buckets: &Arc<DurationBuckets>) -> Option<(Arc<Definition>, CheckTarget)> {
    let CheckDraft { fields, timing, .. } = draft;
    let KindSection { kind, target } = draft.observed.as_ref()?;
    let definition = Definition {
        name: draft.name.clone()?,
        kind: kind.name,
        description: line(fields, "description"),
        runbook: fields.text("runbook").and_then(Text::fixed),
        target: target.spec.target(),
        interval: timing.interval,
        timeout: timing.timeout,
        initial_delay: fields.duration("initial_delay").unwrap_or_default(),
        thresholds: timing.thresholds,
        critical: draft.critical,
        gates: draft.gates,
        depends_on: Vec::new(),
        degraded_above: timing.degraded_above,
        stale_after: timing.stale_after,
        max_connection_age: target.spec.max_connection_age(),
        max_age: target.spec.max_age(),
        beat_token: target.spec.beat_token(),
        formerly: draft.formerly.clone(),
        of_pod: draft.of_pod,
        duration_buckets: Arc::clone(duration_buckets),
    };
    Some((Arc::new(definition), target.clone()))
}

/// The check of `before` that is the same in every respect; `declared` itself where there is none.
fn shared(
    declared: (Arc<Definition>, CheckTarget),
    before: Option<&Config>,
    position: CheckIndex,
) -> (Arc<Definition>, CheckTarget) {
    let known = before.and_then(|before| {
        let known = before.plan.checks.position_near(declared.0.name.as_str(), position)?;
        Some((&before.plan.checks[known], &before.targets[known]))
    });
    match known {
        Some((same, target)) if declared.1.fingerprint == target.fingerprint && declared.0 == *same => {
            (Arc::clone(same), target.clone())
        }
        _ => declared,
    }
}
