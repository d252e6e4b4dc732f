// A check's own view: how it stood and stands, how fast it was, what it was told to do, and what it hangs on.

/** So many single runs are shown. */
const MOST_RUNS = 50;
/** How often the figures are asked for again while the view is open. */
const REFRESH = 30_000;

const detail = { name: null, service: null, runs: [], asked: 0, parts: null };

/** Opens the view of a check. */
async function openCheck(name) {
  Object.assign(detail, { name, service: null, runs: [], asked: 0 });
  buildCheck();
  drawCheck();
  await refreshCheck();
}

/** Asks for the figures and the runs. */
async function refreshCheck() {
  const { name } = detail;
  const check = store.checks.get(name);
  if (!check || check.id === null || link.state !== "live") return;
  detail.asked = Date.now();
  const [one, ticks] = await Promise.all([ask(`v1/services/${check.id}?include=history`), ask(`v1/services/${check.id}/ticks?limit=${MOST_RUNS}`)]);
  if (detail.name !== name || !one || !ticks) return;
  detail.service = one.service.data;
  detail.runs = ticks.ticks.data;
  drawCheck();
}

/** A run of the check that is looked at. */
function addRun(tick) {
  if (tick.name !== detail.name || detail.service === null) return;
  detail.runs.unshift(tick);
  detail.runs.length = Math.min(detail.runs.length, MOST_RUNS);
}

function buildCheck() {
  const part = (title, id, ...children) => element("section", { "aria-labelledby": id }, element("h2", { id }, title), ...children);
  const parts = {
    head: element("div", { class: "about" }),
    steps: element("div"),
    rest: element("div", { class: "columns" }),
    relations: element("dl", { class: "panel facts" }),
    bars: strip(),
    barsNote: element("p", { class: "note" }),
    windows: element("tbody"),
    latency: element("div", { class: "plot" }),
    intervals: element("ol", { class: "panel timeline" }),
    runs: element("tbody"),
    kept: element("p", { class: "note", hidden: "" }),
    facts: element("dl", { class: "panel facts" }),
  };
  const head = (...titles) => element("thead", null, element("tr", null, ...titles.map((title) => element("th", { scope: "col" }, title))));
  parts.bars.classList.add("tall");
  detail.parts = parts;
  byId("check").replaceChildren(
    element("p", { class: "back" }, element("a", { href: "#/" }, "← All checks")),
    parts.head,
    parts.steps,
    fill(parts.rest, null, [
      element("div", null,
        part("Last 90 intervals", "h-bars", element("div", { class: "panel" }, parts.bars, parts.barsNote)),
        part("Uptime and latency", "h-windows", element("div", { class: "panel scroll", tabindex: 0, role: "group", "aria-labelledby": "h-windows" },
          element("table", { class: "figures" }, head("Over", "How it stood", "Uptime", "Watched", "p50", "p90", "p99"), parts.windows)),
          element("p", { class: "note" }, "Uptime is time up over time known; time in which nobody watched counts as neither. Watched is the share of time known. Latency is that of the runs that passed, the newest 10,000.")),
        part("Latency of the last runs", "h-latency", element("div", { class: "panel" }, parts.latency)),
        part("Last runs", "h-runs", element("div", { class: "panel scroll runs", tabindex: 0, role: "group", "aria-labelledby": "h-runs" },
          element("table", { class: "figures" }, head("When", "Outcome", "Took", "Message"), parts.runs)), parts.kept)),
      element("div", null,
        part("Dependencies", "h-relations", parts.relations),
        part("Ups and downs", "h-intervals", parts.intervals),
        part("Configuration", "h-facts", parts.facts))]));
}

function drawCheck() {
  const { name, parts, service } = detail;
  if (name === null) return;
  const check = store.checks.get(name);
  for (const part of [parts.steps, parts.rest]) part.hidden = !check && store.outline !== undefined;
  if (!check) {
    const off = store.disabled.find((check) => check.name === name);
    const text = off ? `“${name}” is switched off${off.reason === WITHHELD ? "" : `: ${off.reason}`}` : store.outline ? `There is no check called “${name}”.` : "Connecting…";
    parts.head.replaceChildren(element("h1", { tabindex: -1 }, text));
    parts.head.key = null;
    return;
  }
  drawAbout(check);
  drawStages(parts.steps, check.steps);
  drawRelations(check);
  drawCheckBars(check);
  drawIntervals(check);
  drawFacts(check);
  if (service) {
    drawWindows(service.history.windows);
    drawRuns();
    drawKept(service.kept_since);
  }
}

/** Since when everything is kept, where there was no room for what was before. */
function drawKept(since) {
  const { kept } = detail.parts;
  kept.hidden = since === undefined;
  if (since !== undefined) setText(kept, `Runs and changes are kept since ${showTime(since * 1000, now())}: there was no room for older ones (history.max_memory).`);
}

function drawAbout(check) {
  const { head } = detail.parts;
  const waiting = behind(check);
  const key = JSON.stringify([check.name, check.state, check.state === "stale" ? check.message : whyOf(check), check.since, waiting, check.definition?.runbook, check.definition?.description]);
  if (head.key === key) return;
  head.key = key;
  const hadFocus = head.contains(document.activeElement);
  const since = moment(check.since, showDuration(now() - check.since));
  since.since = check.since;
  const runbook = check.definition?.runbook && outward(check.definition.runbook, "Runbook");
  if (runbook) runbook.className = "runbook";
  head.replaceChildren(
    element("h1", { tabindex: -1 }, check.name),
    check.definition?.description ? element("p", { class: "description" }, check.definition.description) : "",
    element("p", { class: "now" }, badge(check.state), element("span", null, " for ", since), runbook ?? ""),
    element("p", { class: "message" }, saidIn(check)),
    isFailing(check) && waiting.length > 0 ? element("p", { class: "behind" }, "Behind it: ", ...linked(waiting), waiting.length === 1 ? " is skipped." : " are skipped.") : "");
  if (hadFocus) head.querySelector("h1").focus({ preventScroll: true });
}

const saidIn = (check) => whyOf(check) || MEANINGS[check.state];

/** What goes on while nothing happens. */
function drawCheckAges() {
  const check = store.checks.get(detail.name);
  if (!check) return;
  for (const time of detail.parts.head.querySelectorAll("time")) setText(time, showDuration(now() - time.since));
  const message = detail.parts.head.querySelector(".message");
  if (message) setText(message, saidIn(check));
  drawCheckBars(check);
  if (Date.now() - detail.asked > REFRESH || detail.service === null) refreshCheck();
}

const fact = (title, ...values) => element("div", null, element("dt", null, title), element("dd", null, ...values));

function drawRelations(check) {
  const { relations } = detail.parts;
  const stateOf = (name) => store.checks.get(name)?.state ?? "pending";
  const key = JSON.stringify([check.parents, check.children].map((names) => names.map((name) => [name, stateOf(name)])));
  if (relations.key === key) return;
  relations.key = key;
  const links = (names) => names.map((name) => element("span", { class: "relation" }, icon(stateOf(name)), linkTo(name), element("span", { class: "unseen" }, ` ${stateOf(name)} `)));
  redraw(relations,
    fact("Depends on", ...(check.parents.length > 0 ? links(check.parents) : ["nothing"])),
    fact("Needed by", ...(check.children.length > 0 ? links(check.children) : ["nothing"])));
}

function drawCheckBars(check) {
  const { slot, end } = slotting(check.definition?.interval_ms ?? 10_000, now());
  drawStrip(detail.parts.bars, slotsOf(check.intervals, end, slot), slot * SLOTS, end);
  setText(detail.parts.barsNote, `${showDuration(slot * SLOTS)}, one bar for ${showDuration(slot)}. Low: up. Taller: degraded. Full: down. Hatched: nothing is known.`);
}

/** One row for each window, with its own strip. */
function drawWindows(windows) {
  const { windows: body } = detail.parts;
  const key = JSON.stringify(windows);
  if (body.key === key) return;
  body.key = key;
  body.replaceChildren(...windows.map((window) => {
    const bars = strip();
    const slots = window.slices.map(([up, degraded, down, unknown]) => ({ up: up * 1000, degraded: degraded * 1000, down: down * 1000, unknown: unknown * 1000 }));
    drawStrip(bars, slots, (window.date_ended - window.date_started) * 1000, window.date_ended * 1000);
    const figures = [showPercent(window.uptime_percent), showPercent(window.coverage_percent), ...[window.p50_ms, window.p90_ms, window.p99_ms].map(showLatency)];
    return element("tr", null, element("th", { scope: "row" }, window.name.replace(/\d+/, "$& ")), element("td", { class: "wide" }, bars), ...figures.map((figure) => element("td", { class: "number" }, figure)));
  }));
}

function drawRuns() {
  const { runs: body, latency } = detail.parts;
  const key = JSON.stringify([dayOf(now()), detail.runs.map((run) => [run.created_at, run.outcome, run.response_time_ms, run.message])]);
  if (body.key === key) return;
  body.key = key;
  const signs = { pass: "ok", fail: "error", skip: "skipped" };
  body.replaceChildren(...detail.runs.map((run) => {
    const at = run.created_at * 1000;
    const reason = run.reason ? ` (${run.reason})` : "";
    const message = run.message === WITHHELD ? "" : run.message;
    return element("tr", null,
      element("td", { class: "number" }, moment(at, showTime(at, now()))),
      element("td", null, element("span", { class: `badge ${signs[run.outcome]}` }, icon(signs[run.outcome]), element("span", null, `${run.outcome}${reason}`))),
      element("td", { class: "number" }, showLatency(run.response_time_ms)),
      element("td", { class: "said" }, message));
  }));
  drawLatency(latency, detail.runs.filter((run) => run.outcome !== "skip").reverse());
}

/** The latency of the runs, with a scale. */
function drawLatency(place, runs) {
  const times = runs.map((run) => (run.outcome === "pass" ? run.response_time_ms : null));
  const [width, height] = [600, 120];
  const { area, curve, gap, most } = curveOf(times, width, height - 2, Math.max(2, times.length));
  const passes = times.filter((time) => time !== null);
  const words = passes.length === 0 ? "No run has passed." : `${counted(passes.length, "run", "runs")} that passed, from ${showLatency(Math.min(...passes))} to ${showLatency(Math.max(...passes))}.`;
  const missing = times.length - passes.length;
  const svg = drawing("svg", { class: "spark large", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    drawing("path", { class: "grid", d: `M0 ${height / 2}H${width}M0 1H${width}M0 ${height - 1}H${width}` }),
    drawing("path", { class: "area", d: area }), drawing("path", { class: "curve", d: curve }), drawing("path", { class: "gap", d: gap }));
  place.replaceChildren(
    element("div", { class: "scale", "aria-hidden": "true" }, element("span", null, showLatency(most)), element("span", null, showLatency(most / 2)), element("span", null, "0")),
    svg,
    element("p", { class: "note" }, missing > 0 ? `${words} The marks below are ${counted(missing, "run", "runs")} that failed.` : words));
}

function drawIntervals(check) {
  const { intervals } = detail.parts;
  const key = JSON.stringify([dayOf(now()), check.intervals.map((interval) => [interval.standing, interval.from, interval.to])]);
  if (intervals.key === key) return;
  intervals.key = key;
  intervals.replaceChildren(...[...check.intervals].reverse().map(({ standing, from, to }) => {
    const [sign] = signAndWord(standing);
    return element("li", { class: `entry ${sign}` }, moment(from, showTime(from, now())), icon(sign),
      element("p", null, element("b", { class: sign }, STANDING_NAMES[standing]), to === null ? " since then" : ` for ${to - from < 1000 ? "less than 1 s" : showDuration(to - from)}`));
  }));
}

function drawFacts(check) {
  const { facts } = detail.parts;
  const { definition, url } = check;
  const key = JSON.stringify([definition, url]);
  if (facts.key === key || !definition) return;
  facts.key = key;
  const critical = { true: "yes", false: "no: it only degrades", at_startup: "at start-up only" }[definition.critical];
  const rows = [
    ["Kind", definition.kind],
    ["Target", url],
    ["Interval", definition.interval],
    ["Timeout", definition.timeout],
    ["Initial delay", definition.initial_delay === "0ms" ? null : definition.initial_delay],
    ["Critical", critical],
    ["Gates", definition.gates.length > 0 ? definition.gates.join(", ") : "none: only reported"],
    ["Error after", counted(definition.failure_threshold, "failure", "failures")],
    ["Ok after", counted(definition.success_threshold, "pass", "passes")],
    ["Degraded above", definition.degraded_above],
    ["Stale after", definition.stale_after],
    ["Formerly", definition.formerly],
  ];
  facts.replaceChildren(...rows.filter(([, value]) => value !== null && value !== undefined).map(([title, value]) => fact(title, value)));
}
