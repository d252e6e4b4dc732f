// What the page knows: the checks as the daemon last told them, and what has happened since.

/** So much is kept of the past, however long the page stays open. */
const MOST_INTERVALS = 90;
const MOST_TIMES = 40;
/** Of causes and of consequences each; where there are many checks, several for each of them. */
const MOST_MOMENTS = 200;
const MOMENTS_OF_A_CHECK = 4;
/** So long the word of another check may be under way that tells what a skipped one waits for. */
const SAME_BATCH = 2000;

const store = {
  /** By name, in the order of the file. */
  checks: new Map(),
  endpoints: [],
  /** The names of the checks for whose sake an endpoint is closed. */
  closers: new Set(),
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
  /** Those of them in which a check was skipped just now, by its name. */
  skips: new Map(),
  /** How far the daemon's clock is ahead of the browser's. */
  skew: 0,
  /** What has to be drawn again: names of checks, and parts of the page. */
  dirty: new Set(),
  /** Counts changes of which checks there are and what they depend on. */
  shape: 0,
};

/** The time by the daemon's clock. */
const now = () => Date.now() + store.skew;

const isFailing = (check) => check.state === "error" || check.state === "stale";

/** Its last run failed, and that has not made it `error` yet. */
const isFaltering = (check) => check.failures > 0 && !isFailing(check);

/** Whether trouble begins here: it fails, or the daemon names it as the cause of an endpoint's closure. */
const isCause = (check) => isFailing(check) || store.closers.has(check.name);

/** The whole, as `/healthz` and the stream's `snapshot` tell it. */
function takeSnapshot(snapshot) {
  // The timestamp has whole seconds; a smaller difference is none.
  const skew = Date.parse(snapshot.timestamp) + 500 - Date.now();
  store.skew = Math.abs(skew) < 2000 ? 0 : skew;
  // Behind a balancer the next one who answers may be another pod, of which nothing is known yet.
  const isAnother = store.outline !== undefined && store.instance !== (snapshot.instance ?? "");
  if (isAnother) forget();
  store.status = snapshot.status;
  store.message = snapshot.data.message;
  store.service = snapshot.service;
  store.instance = snapshot.instance ?? "";
  store.disabled = snapshot.disabled ?? [];
  store.version = snapshot.version;
  setEndpoints(snapshot.endpoints ?? []);
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
  return isAnother;
}

function forget() {
  store.checks = new Map();
  store.kubelet = new Map();
  store.moments = [];
  store.skips.clear();
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
    failures: told.consecutive_failures,
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
  const before = standOf(check);
  check.checked = tick.created_at * 1000;
  if (tick.outcome !== "skip") {
    check.times.push(tick.outcome === "pass" ? tick.response_time_ms : null);
    check.times.splice(0, check.times.length - MOST_TIMES);
  }
  check.latency = tick.response_time_ms;
  check.steps = tick.steps ?? [];
  check.failures = tick.consecutive_failures ?? 0;
  check.message = tick.check_message ?? tick.message;
  store.dirty.add(check.name);
  // What is said of a cause stands in its card too.
  if (standOf(check) !== before) store.dirty.add("verdict");
}

/** What the top of the page says of a check, besides its state. */
const standOf = (check) => `${isFaltering(check)} ${isCause(check) && `${check.failures > 0} ${check.message}`}`;

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
  const moment = { at: check.since, name: check.name, from, to: transition.to, lasted: Math.max(0, check.since - began), message: reasonOf(check) };
  remember(moment);
  if (check.state === "skipped") store.skips.set(check.name, moment);
  else store.skips.delete(check.name);
  store.dirty.add(check.name).add("verdict").add("graph").add("timeline");
}

function takeEndpoints(told) {
  if (!told.endpoints) return;
  const before = new Map(store.endpoints.map((endpoint) => [endpoint.name, endpoint.root_causes]));
  setEndpoints(told.endpoints.map((endpoint) => ({ ...endpoint, root_causes: allCauses(endpoint, before.get(endpoint.name) ?? []) })));
  store.status = told.endpoints.find((endpoint) => endpoint.name === "healthz")?.verdict ?? store.status;
  store.dirty.add("verdict");
}

function setEndpoints(endpoints) {
  store.endpoints = endpoints;
  store.closers = new Set(endpoints.filter(isClosed).flatMap((endpoint) => endpoint.root_causes));
}

const isClosed = (endpoint) => endpoint.verdict === "error";

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
    check.intervals.slice(1).forEach((interval, place) => {
      const moment = { at: interval.from, name: check.name, was: check.intervals[place].standing, to: interval.standing, standing: interval.standing, message: "" };
      // Of its last change a check knows more.
      const isLast = Math.abs(interval.from - check.since) <= 1000 && interval.standing === standingOf(check.state);
      moments.push(isLast ? { ...moment, to: check.state, message: check.state === "skipped" ? reasonOf(check) : "" } : moment);
    });
    // What has happened since the answer was made is on top.
    stand(check, check.since);
  }
  // Newest first within a second too: what the page saw itself has whole seconds.
  const told = moments.filter((moment) => moment.from).reverse();
  const kept = [...besides(told), ...told];
  // What has a reason has a finer word too than what the ledger keeps, which counts its own time: it may be in the second before or after.
  const second = (name, at, standing) => `${name} ${Math.floor(at / 1000)} ${standing}`;
  const explained = new Set(kept.flatMap(({ name, at, to }) => [-1000, 0, 1000].map((later) => second(name, at + later, standingOf(to)))));
  kept.push(...moments.filter((moment) => !moment.from && !explained.has(second(moment.name, moment.at, moment.standing))));
  store.moments = newest(kept.sort((a, b) => b.at - a.at));
  store.dirty.add("all");
}

/**
 * What the page saw itself that is not among what it is `told`. A check may come to one state several times in a second:
 * each that is told stands for one that was seen. That a check was stale only who saw it knows.
 */
function besides(told) {
  const seen = store.moments.filter((moment) => moment.from);
  for (const moment of told) {
    const index = seen.findIndex((one) => one.name === moment.name && one.to === moment.to && secondOf(one) === secondOf(moment) && (one.from === moment.from || one.from === "stale"));
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
  if (store.moments.length > 4 * mostMoments()) store.moments = newest(store.moments);
}

const mostMoments = () => Math.max(MOST_MOMENTS, MOMENTS_OF_A_CHECK * store.checks.size);

/** Whether a check began or ceased to fail by itself then: from that the other changes follow. */
const isGrave = ({ from, was, to }) => [from, was, to].some((state) => ["error", "stale", "down"].includes(state));

/** The newest of the moments: hundreds of consequences push out no cause. What happened in one second is there as a whole. */
function newest(moments) {
  const within = (some) => {
    const most = mostMoments();
    if (some.length <= most) return some;
    const cut = secondOf(some[most]);
    const whole = some.findLastIndex((moment, place) => place < most && secondOf(moment) !== cut) + 1;
    return some.slice(0, whole || most);
  };
  const kept = new Set([...within(moments.filter(isGrave)), ...within(moments.filter((moment) => !isGrave(moment)))]);
  return moments.filter((moment) => kept.has(moment));
}

const secondOf = (moment) => Math.floor(moment.at / 1000);

/** What a check was skipped for is known once the others have been told of that changed with it, in the order of the file. */
function explainSkips() {
  for (const [name, moment] of store.skips) {
    const check = store.checks.get(name);
    if (check && causesOf(check).length > 0) moment.message = reasonOf(check);
    if (!check || now() - moment.at > SAME_BATCH) store.skips.delete(name);
  }
}

/**
 * The checks from which everything else follows: those that close an endpoint first, of these those without a result last,
 * then by what waits for them.
 */
function rootCauses() {
  const causes = [...store.checks.values()].filter(isCause);
  for (const cause of causes) {
    cause.isMild = !store.closers.has(cause.name);
    cause.waiting = behind(cause);
  }
  return causes.sort((a, b) => a.isMild - b.isMild || isPending(a) - isPending(b) || b.waiting.length - a.waiting.length);
}

const isPending = (check) => check.state === "pending";

/** The names of the failing checks for which a skipped one waits, nearest first. */
function causesOf(check) {
  const seen = new Set(check.parents);
  for (const name of seen) {
    const parent = store.checks.get(name);
    if (parent && !isFailing(parent)) for (const further of parent.parents) seen.add(further);
  }
  return [...seen].filter((name) => store.checks.has(name) && isFailing(store.checks.get(name)));
}

/** Why a check stands as it does, in a few words. */
function reasonOf(check) {
  if (check.state === "skipped" && check.parents.length > 0) {
    const causes = causesOf(check);
    return `waits for ${listed(causes.length > 0 ? causes : check.parents)}`;
  }
  if (check.message === WITHHELD) return "";
  // The age of a result goes on.
  return check.state === "stale" && check.checked !== null ? check.message.replace(/^last result \S+ ago/, `last result ${showDuration(now() - check.checked)} ago`) : check.message;
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
