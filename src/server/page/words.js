// The words and signs of the page: states, verdicts, times. Nothing here touches the document.

/** The states of a check, worst first: the order of filters, and of what decides how a group looks. */
const STATES = ["error", "stale", "degraded", "skipped", "pending", "ok"];

const MEANINGS = {
  ok: "passes",
  degraded: "passes, with something to worry about",
  error: "fails",
  skipped: "not run, because something it depends on fails",
  pending: "no verdict yet",
  stale: "the last result is too old to be believed",
};

/**
 * What an open and a closed endpoint mean to whoever asks it, in words that are true whatever the checks see: a check that
 * is skipped tells nothing of the app, and `/startupz` closes again when the app fails in service.
 */
const ENDPOINTS = {
  livez: { open: "nothing asks for a restart", closed: "asks for a restart of the app" },
  readyz: { open: "ready for traffic", closed: "not ready for traffic" },
  startupz: { open: "counts as started", closed: "does not count as started" },
  healthz: { open: "nothing critical fails", closed: "something critical fails", waiting: "something critical has no verdict yet" },
};

/** How the whole stands while `/healthz` is open, and another endpoint is not. */
const CLOSED_BESIDES = { readyz: "not ready", livez: "not alive", startupz: "not started" };

/** What kubelet does at the last of so many failures in a row, where nobody has told it another number. */
const KUBELET_ACTS = { livez: "restarts the app", readyz: "takes the pod out of traffic", startupz: "restarts the app" };
const KUBELET_FAILURES = 3; // its default

const WITHHELD = "withheld";

/** How an interval of the ledger stands for a state. */
const standingOf = (state) => ({ ok: "up", degraded: "degraded", error: "down" })[state] ?? "unknown";

/** A length of time with two units at most: `47 s`, `3 min 5 s`, `2 h 10 min`, `5 d`. */
function showDuration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  if (seconds === 0) return "0 s";
  const [unit, size] = units[first];
  const rest = Math.floor((seconds % size) / (units[first + 1]?.[1] ?? 1));
  // Minutes and seconds together only while each second still matters.
  const shown = `${Math.floor(seconds / size)} ${unit}`;
  return rest > 0 && first < 3 && !(unit === "min" && seconds >= 600) ? `${shown} ${rest} ${units[first + 1][0]}` : shown;
}

/** How long a run took: `0.8 ms`, `12 ms`, `1.25 s`. */
function showLatency(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** A percentage that is 100 or 0 only when it is; nothing known is a dash. */
function showPercent(percent) {
  if (percent === null || percent === undefined) return "–";
  if (percent === 0 || percent === 100) return `${percent} %`;
  return `${Math.min(99.99, Math.max(0.01, percent)).toFixed(2)} %`;
}

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DATE_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The time of day; with the date where that is not today. */
function showTime(ms, now) {
  return (dayOf(ms) === dayOf(now) ? TIME : DATE_AND_TIME).format(ms);
}

/** Which day it is: with it changes how a time is shown. */
const dayOf = (ms) => new Date(ms).toDateString();

/** `a`, `a and b`, `a, b and 3 more`. */
function listed(names, most = 4) {
  if (names.length <= 1) return names.join("");
  if (names.length > most) return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;
