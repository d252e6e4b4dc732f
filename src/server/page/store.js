// What the page knows: the checks as the daemon last told them, and what has happened since.

/** So much is kept of the past, however long the page stays open. */
const MOST_INTERVALS = 90;
const MOST_TIMES = 40;
const MOST_MOMENTS = 200;

const store = {
  /** By name, in the order of the file. */
  checks: new Map(),
  endpoints: [],
  status: "",
  message: "",
  service: "",
  instance: "",
  version: null,
  /** How kubelet asks, by endpoint: `{ last_asked, period_ms }`. */
  kubelet: new Map(),
  /** Checks that are switched off: `{ name, kind, reason }`. */
  disabled: [],
  /** What happened, newest first: `{ at, name, from, to, lasted, message }`; `lasted` is how long it stood as before. */
  moments: [],
  /** How far the daemon's clock is ahead of the browser's. */
  skew: 0,
  /** What has to be drawn again: names of checks, and parts of the page. */
  dirty: new Set(),
  /** Counts changes of which checks there are and what they depend on. */
  shape: 0,
};

/** The time by the daemon's clock. */
const now = () => Date.now() + store.skew;

const isCause = (check) => check.state === "error" || check.state === "stale";

/** The whole, as `/healthz` and the stream's `snapshot` tell it. */
function takeSnapshot(snapshot) {
  // The timestamp has whole seconds; a smaller difference is none.
  const skew = Date.parse(snapshot.timestamp) + 500 - Date.now();
  store.skew = Math.abs(skew) < 2000 ? 0 : skew;
  store.status = snapshot.status;
  store.message = snapshot.data.message;
  store.service = snapshot.service;
  store.instance = snapshot.instance ?? "";
  store.disabled = snapshot.disabled ?? [];
  store.version = snapshot.version;
  store.endpoints = snapshot.endpoints ?? [];
  const before = store.checks;
  store.checks = new Map(snapshot.checks.map((told) => [told.name, known(before.get(told.name), told)]));
  for (const check of store.checks.values()) {
    check.children = [];
  }
  for (const check of store.checks.values()) {
    for (const parent of check.parents) store.checks.get(parent)?.children.push(check.name);
  }
  const outline = JSON.stringify([store.disabled, ...snapshot.checks.map((check) => [check.name, check.kind, check.depends_on])]);
  if (outline !== store.outline) {
    store.outline = outline;
    store.shape += 1;
  }
  store.dirty.add("all");
}

function known(before, told) {
  const check = before ?? { intervals: [], times: [], id: null, definition: null, url: null, uptime: null };
  Object.assign(check, {
    name: told.name,
    kind: told.kind,
    critical: told.critical,
    state: told.state,
    message: told.message,
    latency: told.latency_ms,
    since: Date.parse(told.since),
    checked: told.age_ms === null ? null : now() - told.age_ms,
    parents: told.depends_on,
    steps: told.steps ?? [],
  });
  stand(check, check.since);
  return check;
}

/** A run, or a skip. */
function takeTick(tick) {
  takeEndpoints(tick);
  const check = store.checks.get(tick.name);
  if (!check) return;
  check.checked = tick.created_at * 1000;
  if (tick.outcome !== "skip") {
    check.times.push(tick.outcome === "pass" ? tick.response_time_ms : null);
    check.times.splice(0, check.times.length - MOST_TIMES);
  }
  if (tick.response_time_ms !== null) check.latency = tick.response_time_ms;
  if (tick.steps) check.steps = tick.steps;
  if (tick.outcome !== "skip" && tick.message !== WITHHELD) {
    // A failure that has not made it `error` yet, or no longer, is told as one.
    const isSurprise = tick.outcome === "fail" && check.state !== "error" && check.state !== "pending";
    check.message = isSurprise ? `${tick.message} (${counted(tick.consecutive_failures ?? 1, "failure", "failures")} so far)` : tick.message;
  }
  store.dirty.add(check.name);
}

/** A check is in another state. */
function takeTransition(transition) {
  takeEndpoints(transition);
  const check = store.checks.get(transition.name);
  if (!check) return;
  const [from, began] = [check.state, check.since];
  check.state = transition.to;
  check.message = transition.message;
  check.since = transition.created_at * 1000;
  stand(check, check.since);
  remember({ at: check.since, name: check.name, from, to: transition.to, lasted: Math.max(0, check.since - began), message: reasonOf(check) });
  store.dirty.add(check.name).add("verdict").add("graph").add("timeline");
}

function takeEndpoints(told) {
  if (!told.endpoints) return;
  const before = new Map(store.endpoints.map((endpoint) => [endpoint.name, endpoint.root_causes]));
  store.endpoints = told.endpoints.map((endpoint) => ({ ...endpoint, root_causes: allCauses(endpoint, before.get(endpoint.name) ?? []) }));
  store.status = told.endpoints.find((endpoint) => endpoint.name === "healthz")?.verdict ?? store.status;
  store.dirty.add("verdict");
}

/** The root causes of an endpoint: of many the stream names the first, and says which have come and gone since those `before`. */
function allCauses({ root_causes: named, more_root_causes: more = 0, root_causes_added: added = [], root_causes_gone: gone = [] }, before) {
  if (more === 0) return named;
  const all = new Set([...named, ...before, ...added]);
  for (const name of gone) all.delete(name);
  return [...all];
}

/** The past of the checks, as `v1/services?include=history` tells it. */
function takeHistory(services, kubelet) {
  store.kubelet = new Map(kubelet.map((asks) => [asks.endpoint, asks]));
  const moments = [];
  for (const service of services) {
    const check = store.checks.get(service.name);
    if (!check) continue;
    check.id = service.id;
    check.url = service.url;
    check.uptime = service.metric.data.uptime_percent;
    check.definition = service.definition;
    check.times = service.history.response_times_ms;
    check.intervals = service.history.intervals.map((interval) => ({
      standing: interval.standing,
      from: interval.date_started * 1000,
      to: interval.date_ended === null ? null : interval.date_ended * 1000,
    }));
    for (const { at, from, to, lasted_ms: lasted, message } of service.transitions ?? []) {
      moments.push({ at: at * 1000, name: check.name, from, to, lasted, message });
    }
    // What was before the daemon's start, or is too long ago for it to know why.
    for (const interval of check.intervals.slice(1)) {
      moments.push({ at: interval.from, name: check.name, to: interval.standing, message: "" });
    }
    // What has happened since the answer was made is on top.
    stand(check, check.since);
  }
  // Newest first within a second too: what the page saw itself has whole seconds.
  const told = moments.filter((moment) => moment.from).reverse();
  const kept = [...besides(told), ...told];
  // What has a reason has a finer word too than what the ledger keeps, which counts its own time: it may be in the second before or after.
  const second = (name, at, standing) => `${name} ${Math.floor(at / 1000)} ${standing}`;
  const explained = new Set(kept.flatMap(({ name, at, to }) => [-1000, 0, 1000].map((later) => second(name, at + later, standingOf(to)))));
  kept.push(...moments.filter((moment) => !moment.from && !explained.has(second(moment.name, moment.at, moment.to))));
  store.moments = kept.sort((a, b) => b.at - a.at).slice(0, MOST_MOMENTS);
  store.dirty.add("all");
}

/**
 * What the page saw itself that is not among what it is `told`. A check may come to one state several times in a second:
 * each that is told stands for one that was seen. That a check was stale only who saw it knows.
 */
function besides(told) {
  const seen = store.moments.filter((moment) => moment.from);
  const second = (at) => Math.floor(at / 1000);
  for (const moment of told) {
    const index = seen.findIndex(({ name, at, from, to }) => name === moment.name && to === moment.to && second(at) === second(moment.at) && (from === moment.from || from === "stale"));
    if (index < 0) continue;
    const [{ from, lasted }] = seen.splice(index, 1);
    if (from === "stale") Object.assign(moment, { from, lasted });
  }
  return seen;
}

/** The last interval of a check is as its state is. */
function stand(check, at) {
  const standing = standingOf(check.state);
  const last = check.intervals.at(-1);
  if (last?.standing === standing && last.to === null) return;
  const from = Math.max(at, last?.from ?? at);
  if (last) last.to = from;
  check.intervals.push({ standing, from, to: null });
  check.intervals.splice(0, check.intervals.length - MOST_INTERVALS);
}

function remember(moment) {
  store.moments.unshift(moment);
  store.moments.length = Math.min(store.moments.length, MOST_MOMENTS);
}

/** The checks for whose sake an endpoint is closed. */
const closing = () => new Set(store.endpoints.filter((endpoint) => endpoint.verdict === "error").flatMap((endpoint) => endpoint.root_causes));

/** The failing checks from which everything else follows: those that close an endpoint first, then by what waits for them. */
function rootCauses() {
  const closers = closing();
  const causes = [...store.checks.values()].filter(isCause);
  for (const cause of causes) {
    cause.isMild = !closers.has(cause.name);
    cause.waiting = behind(cause);
  }
  return causes.sort((a, b) => a.isMild - b.isMild || b.waiting.length - a.waiting.length);
}

/** The names of the failing checks for which a skipped one waits, nearest first. */
function causesOf(check) {
  const seen = new Set(check.parents);
  for (const name of seen) {
    const parent = store.checks.get(name);
    if (parent && !isCause(parent)) for (const further of parent.parents) seen.add(further);
  }
  const found = [...seen].filter((name) => store.checks.has(name) && isCause(store.checks.get(name)));
  return found.length > 0 ? found : check.parents;
}

/** Why a check stands as it does, in a few words. */
function reasonOf(check) {
  if (check.state === "skipped" && check.parents.length > 0) return `waits for ${listed(causesOf(check))}`;
  return check.message === WITHHELD ? "" : check.message;
}

/** The names of the checks that wait because of this one, nearest first. */
function behind(check) {
  const found = new Set();
  const queue = [...check.children];
  for (const name of queue) {
    const child = store.checks.get(name);
    if (!child || found.has(name) || child.state !== "skipped") continue;
    found.add(name);
    queue.push(...child.children);
  }
  return [...found];
}

/** How many checks are in each state. */
function tally() {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const check of store.checks.values()) counts[check.state] += 1;
  return counts;
}
