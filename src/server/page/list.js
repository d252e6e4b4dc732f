// The table of checks: one row each, what fails first, the rest grouped by the prefix before the first `/`; filtered,
// walked with the keyboard.

const table = document.querySelector(".checks table");

/** With more checks than this, groups in which nothing is wrong begin folded. */
const MOST_UNFOLDED = 40;
/** What a group is called whose checks have no prefix, where it has to have a head. */
const NO_PREFIX = "without a prefix";

const view = {
  /** By name: the row's nodes, kept for as long as the check is there. */
  rows: new Map(),
  groups: [],
  /** The names of those that fail, which stand above all groups. */
  failing: [],
  failingBody: element("tbody", { role: "rowgroup" }),
  /** For which `store.shape` the rows were made. */
  shape: -1,
  filter: "",
  states: new Set(),
  /** By the name of a group: whether somebody has folded it, or unfolded it. */
  folded: new Map(),
  /** Length of a bar in ms; 0 for each check's own interval. */
  slot: 0,
  /** The lines that are within sight, or nearly: charts are drawn only there. */
  sight: new IntersectionObserver(sighted, { rootMargin: "600px" }),
  /** The row that is in the order of the tab key. */
  current: null,
};

const groupOf = (name) => (name.includes("/") ? name.slice(0, name.indexOf("/")) : "");

/** Draws what has changed; with `endpoints` also what hangs on how the endpoints stand. */
function drawList(all, endpoints) {
  if (view.shape !== store.shape) {
    buildRows();
    all = true;
  }
  layOut();
  for (const check of store.checks.values()) {
    const row = view.rows.get(check.name);
    const hangs = endpoints && (isFailing(check) || check.state === "skipped" || row.closes !== store.closers.has(check.name));
    if (all || hangs || store.dirty.has(check.name)) drawRow(row, check);
  }
  drawStates();
  drawGroups();
}

/** Makes a row for each check, in the order of the file; groups come in the order of their first check. */
function buildRows() {
  view.shape = store.shape;
  const groups = new Map();
  for (const check of store.checks.values()) {
    const group = groupOf(check.name);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(check.name);
  }
  const old = view.rows;
  view.rows = new Map([...store.checks.keys()].map((name) => [name, old.get(name) ?? makeRow(name)]));
  for (const [name, row] of old) if (!view.rows.has(name)) view.sight.unobserve(row.line);
  // What has no prefix comes first, without a head of its own.
  const order = [...groups.keys()].sort((a, b) => (a === "" ? -1 : b === "" ? 1 : 0));
  view.groups = order.map((name) => makeGroup(name, groups.get(name)));
  for (const body of table.querySelectorAll("tbody")) body.remove();
  table.append(view.failingBody, ...view.groups.map((group) => group.body));
  if (store.disabled.length > 0) table.append(element("tbody", { role: "rowgroup" }, ...store.disabled.map(makeOff)));
  view.failing = null;
  if (!view.rows.has(view.current)) view.current = null;
}

/**
 * What fails stands above all groups, worst first; what fails no more goes back to its place. So does what has no result yet
 * and closes an endpoint for that, unless it is a start, where that is nearly everything.
 */
function layOut() {
  const causes = rootCauses();
  const isStart = causes.filter(isPending).length > MOST_CARDS;
  const failing = causes.filter((cause) => !(isStart && isPending(cause))).map((cause) => cause.name);
  if (view.failing?.join() === failing.join()) return;
  const focused = document.activeElement;
  view.failing = failing;
  view.failingBody.replaceChildren(...failing.map((name) => view.rows.get(name).line));
  const isFailing = new Set(failing);
  for (const group of view.groups) {
    group.rest = group.members.filter((name) => !isFailing.has(name));
    group.body.replaceChildren(...(group.head ? [group.head] : []), ...group.rest.map((name) => view.rows.get(name).line));
  }
  // A row that moves takes the focus along.
  if (focused !== document.activeElement && table.contains(focused)) focused.focus({ preventScroll: true });
}

/** A check that is switched off. */
function makeOff({ name, kind, reason }) {
  return element("tr", { role: "row", class: "check off" },
    element("td", { role: "cell", class: "state" }, element("span", { class: "badge off" }, element("span", null, "off"))),
    element("th", { role: "rowheader", scope: "row" }, element("span", { class: "name" }, name), element("span", { class: "kind" }, kind)),
    element("td", { role: "cell", class: "said", colspan: 4 }, "switched off", reason === WITHHELD ? "" : `: ${reason}`));
}

/** Whether a group is folded: as somebody wants it, else where there are many checks and nothing is wrong in it. */
const isFolded = (group) => group.head && (view.folded.get(group.name) ?? (store.checks.size > MOST_UNFOLDED && group.rest.every((name) => store.checks.get(name).state === "ok")));

/** Folds all groups, or unfolds them where all are. */
function foldAll() {
  const groups = view.groups.filter((group) => group.head);
  const wanted = !groups.every(isFolded);
  for (const group of groups) view.folded.set(group.name, wanted);
  drawGroups();
}

function makeGroup(name, members) {
  const group = { name, members, rest: members, body: element("tbody", { role: "rowgroup" }), count: null };
  if (name !== "" || store.checks.size > MOST_UNFOLDED) {
    const words = element("span", { class: "group-count" });
    const signs = element("span", { class: "group-signs" });
    const button = element("button", { type: "button", class: "fold" }, drawing("svg", { class: "arrow", viewBox: "0 0 10 10", "aria-hidden": "true" }, drawing("path", { d: "M2 3.5l3 3 3-3" })), element("span", { class: "group-name" }, name === "" ? NO_PREFIX : `${name}/`), words, signs);
    button.addEventListener("click", () => {
      view.folded.set(name, !isFolded(group));
      drawGroups();
    });
    Object.assign(group, { button, words, signs });
    group.head = element("tr", { role: "row", class: "group" }, element("th", { role: "rowheader", scope: "rowgroup", colspan: 6 }, button));
    group.body.append(group.head);
  }
  return group;
}

function makeRow(name) {
  const cell = (label, ...children) => element("td", { role: "cell", class: label }, ...children);
  const row = {
    badge: badge("pending"),
    link: element("a", { href: addressOf(name), tabindex: -1, class: "name" }, name.includes("/") ? element("span", { class: "prefix" }, `${groupOf(name)}/`) : "", element("wbr"), name.slice(name.indexOf("/") + 1)),
    kind: element("span", { class: "kind" }),
    since: element("time"),
    uptime: element("span", { class: "uptime", title: "Time up, of the time of which anything is known" }),
    strip: strip(),
    latency: element("span", { class: "took" }),
    spark: spark(),
    message: element("span", { class: "message" }),
    steps: element("div"),
  };
  row.line = element("tr", { role: "row" },
    cell("state", row.badge),
    element("th", { role: "rowheader", scope: "row" }, row.link, row.kind),
    cell("since", row.since, row.uptime),
    cell("history", row.strip),
    cell("latency", row.latency, row.spark),
    cell("said", row.message, row.steps));
  row.link.addEventListener("focus", () => makeCurrent(name));
  row.line.name = name;
  view.sight.observe(row.line);
  return row;
}

function drawRow(row, check) {
  setBadge(row.badge, check.state);
  const isMild = isFailing(check) && check.isMild;
  row.closes = store.closers.has(check.name);
  setAttribute(row.line, "class", `check ${check.state}${isMild ? " mild" : ""}${row.closes ? " closes" : ""}`);
  const critical = check.critical === true ? "" : check.critical === false ? " · not critical" : " · critical at start-up";
  setText(row.kind, `${check.kind}${critical}${isMild && check.critical !== false ? " · closes nothing" : ""}`);
  drawSince(row, check);
  setText(row.uptime, check.uptime === null ? "" : `${showPercent(check.uptime)} up`);
  setText(row.latency, showLatency(check.latency));
  drawCharts(row, check);
  setText(row.message, reasonOf(check));
  drawStages(row.steps, check.steps);
}

/** Draws the charts of rows that come into sight. */
function sighted(entries) {
  for (const entry of entries) {
    const row = view.rows.get(entry.target.name);
    const check = store.checks.get(entry.target.name);
    if (!row || !check) continue;
    row.isInSight = entry.isIntersecting;
    drawCharts(row, check);
  }
}

function drawCharts(row, check) {
  if (!row.isInSight) return;
  drawBars(row, check);
  drawSpark(row.spark, check.times);
}

function drawSince(row, check) {
  setMoment(row.since, check.since, showDuration(now() - check.since));
  if (check.state === "stale") setText(row.message, reasonOf(check));
}

function drawBars(row, check) {
  const { slot, end } = slotting(view.slot / SLOTS || check.definition?.interval_ms || 10_000, now());
  row.drawn = `${slot} ${end}`;
  drawStrip(row.strip, slotsOf(check.intervals, end, slot), slot * SLOTS, end);
}

/** What goes on while nothing happens: ages, and bars that move on by a slot. */
function drawAges() {
  for (const check of store.checks.values()) {
    const row = view.rows.get(check.name);
    if (!row?.isInSight) continue;
    drawSince(row, check);
    const { slot, end } = slotting(view.slot / SLOTS || check.definition?.interval_ms || 10_000, now());
    if (row.drawn !== `${slot} ${end}`) drawBars(row, check);
  }
}

function isShown(check) {
  if (view.states.size > 0 && !view.states.has(check.state)) return false;
  if (view.filter === "") return true;
  const text = `${check.name} ${check.kind} ${reasonOf(check)}`.toLowerCase();
  return view.filter.split(/\s+/).every((word) => text.includes(word));
}

/** Which rows are to be seen, and what the heads of groups say. */
function drawGroups() {
  let shown = 0;
  // Whoever looks for something finds it, also in a group that is folded.
  const isSearch = view.filter !== "" || view.states.size > 0;
  for (const name of view.failing) view.rows.get(name).line.hidden = !isShown(store.checks.get(name));
  for (const group of view.groups) {
    const matching = group.members.map((name) => store.checks.get(name)).filter(isShown);
    const folded = isFolded(group) && !isSearch;
    shown += matching.length;
    for (const name of group.rest) view.rows.get(name).line.hidden = folded || !isShown(store.checks.get(name));
    group.body.hidden = matching.length === 0 || (!group.head && group.rest.length === 0);
    if (!group.head) continue;
    setAttribute(group.button, "aria-expanded", String(!folded));
    setText(group.words, counted(matching.length, "check", "checks"));
    const states = STATES.filter((state) => state !== "ok" && matching.some((check) => check.state === state));
    const key = states.map((state) => `${state}${mildness(state, matching)} ${matching.filter((check) => check.state === state).length}`).join();
    if (group.key !== key) {
      group.key = key;
      group.signs.replaceChildren(...states.map((state) => element("span", { class: `badge ${state}${mildness(state, matching)}` }, icon(state), element("span", null, `${matching.filter((check) => check.state === state).length} ${state}`))));
    }
  }
  const heads = view.groups.filter((group) => group.head);
  const foldButton = byId("fold-all");
  foldButton.hidden = heads.length < 2;
  setText(foldButton, heads.every(isFolded) ? "Unfold all" : "Fold all");
  const nothing = byId("nothing");
  nothing.hidden = shown > 0 || store.checks.size === 0;
  setText(nothing, "No check matches. Esc clears the filter.");
  table.hidden = shown === 0 && (store.checks.size > 0 || store.disabled.length === 0);
  const visible = visibleNames();
  if (!visible.includes(view.current)) makeCurrent(visible[0] ?? null);
}

/** Failures none of which closes an endpoint are not red. */
const mildness = (state, checks) => (state === "error" && checks.every((check) => check.state !== state || check.isMild) ? " mild" : "");

/** The buttons that show only some states, with their counts. */
function drawStates() {
  const counts = tally();
  const place = byId("states");
  if (!place.firstChild) {
    for (const state of STATES) {
      const button = element("button", { type: "button", "data-state": state, "aria-pressed": "false" }, icon(state), element("span"));
      button.addEventListener("click", () => {
        if (!view.states.delete(state)) view.states.add(state);
        drawStates();
        drawGroups();
      });
      place.append(button);
    }
  }
  for (const button of place.children) {
    const state = button.dataset.state;
    button.hidden = counts[state] === 0 && !view.states.has(state);
    setText(button.lastChild, `${counts[state]} ${state}`);
    setAttribute(button, "class", mildness(state, [...store.checks.values()]).trim() || null);
    setAttribute(button, "aria-pressed", String(view.states.has(state)));
  }
}

function visibleNames() {
  return [...view.failing, ...view.groups.flatMap((group) => group.rest)].filter((name) => !view.rows.get(name).line.hidden);
}

/** Only one row is in the order of the tab key; the arrows lead to the others. */
function makeCurrent(name) {
  if (view.current === name) return;
  view.rows.get(view.current)?.link.setAttribute("tabindex", "-1");
  view.current = name;
  view.rows.get(name)?.link.setAttribute("tabindex", "0");
}

/** Moves the focus by `step` rows. */
function walk(step) {
  const names = visibleNames();
  if (names.length === 0) return;
  const isInList = table.contains(document.activeElement) && document.activeElement === view.rows.get(view.current)?.link;
  const place = isInList ? names.indexOf(view.current) + step : names.indexOf(view.current);
  const link = view.rows.get(names[Math.min(names.length - 1, Math.max(0, place))]).link;
  link.focus();
  link.scrollIntoView({ block: "nearest" });
}

function clearFilter() {
  byId("filter").value = "";
  view.filter = "";
  view.states.clear();
  drawStates();
  drawGroups();
}

byId("filter").addEventListener("input", (event) => {
  view.filter = event.target.value.trim().toLowerCase();
  drawGroups();
});

byId("fold-all").addEventListener("click", foldAll);

/** The bars are as long as is chosen; a browser that comes back to the page chooses as before. */
function chooseSpan() {
  const { value, selectedOptions } = byId("span");
  view.slot = Number(value);
  setText(byId("bars-title"), `Last ${selectedOptions[0].textContent}`);
  for (const check of store.checks.values()) if (view.rows.has(check.name)) drawCharts(view.rows.get(check.name), check);
}

byId("span").addEventListener("change", chooseSpan);
addEventListener("pageshow", chooseSpan);
