// The table of checks: one row each, grouped by the prefix before the first `/`, filtered, walked with the keyboard.

const table = document.querySelector(".checks table");

const view = {
  /** By name: the row's nodes, kept for as long as the check is there. */
  rows: new Map(),
  groups: [],
  /** For which `store.shape` the rows were made. */
  shape: -1,
  filter: "",
  states: new Set(),
  folded: new Set(),
  /** Length of a bar in ms; 0 for each check's own interval. */
  slot: 0,
  /** The lines that are within sight, or nearly: charts are drawn only there. */
  sight: new IntersectionObserver(sighted, { rootMargin: "600px" }),
  /** The row that is in the order of the tab key. */
  current: null,
};

const groupOf = (name) => (name.includes("/") ? name.slice(0, name.indexOf("/")) : "");

/** Draws what has changed. */
function drawList(all) {
  if (view.shape !== store.shape) {
    buildRows();
    all = true;
  }
  for (const check of store.checks.values()) {
    if (all || store.dirty.has(check.name)) drawRow(view.rows.get(check.name), check);
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
  table.append(...view.groups.map((group) => group.body));
  if (!view.rows.has(view.current)) view.current = null;
}

function makeGroup(name, members) {
  const group = { name, members, body: element("tbody", { role: "rowgroup" }), count: null };
  if (name !== "") {
    const words = element("span", { class: "group-count" });
    const signs = element("span", { class: "group-signs" });
    const button = element("button", { type: "button", class: "fold" }, drawing("svg", { class: "arrow", viewBox: "0 0 10 10", "aria-hidden": "true" }, drawing("path", { d: "M2 3.5l3 3 3-3" })), element("span", { class: "group-name" }, `${name}/`), words, signs);
    button.addEventListener("click", () => {
      if (!view.folded.delete(name)) view.folded.add(name);
      drawGroups();
    });
    Object.assign(group, { button, words, signs });
    group.head = element("tr", { role: "row", class: "group" }, element("th", { role: "rowheader", scope: "rowgroup", colspan: 6 }, button));
    group.body.append(group.head);
  }
  group.body.append(...members.map((member) => view.rows.get(member).line));
  return group;
}

function makeRow(name) {
  const cell = (label, ...children) => element("td", { role: "cell", class: label }, ...children);
  const row = {
    badge: badge("pending"),
    link: element("a", { href: addressOf(name), tabindex: -1, class: "name" }, name.includes("/") ? element("span", { class: "prefix" }, `${groupOf(name)}/`) : "", element("wbr"), name.slice(name.indexOf("/") + 1)),
    kind: element("span", { class: "kind" }),
    since: element("time"),
    strip: strip(),
    latency: element("span", { class: "took" }),
    spark: spark(),
    message: element("span", { class: "message" }),
    steps: element("div"),
  };
  row.line = element("tr", { role: "row" },
    cell("state", row.badge),
    element("th", { role: "rowheader", scope: "row" }, row.link, row.kind),
    cell("since", row.since),
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
  setAttribute(row.line, "class", `check ${check.state}`);
  setText(row.kind, check.kind + (check.critical === true ? "" : check.critical === false ? " · not critical" : " · critical at start-up"));
  drawSince(row, check);
  setText(row.latency, showLatency(check.latency));
  drawCharts(row, check);
  setText(row.message, check.message === WITHHELD ? "" : check.message);
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
}

function drawBars(row, check) {
  const { slot, end } = slotting(view.slot / SLOTS || check.definition?.interval_ms || 10_000, now());
  row.drawn = `${slot} ${end}`;
  drawStrip(row.strip, slotsOf(check.intervals, end, slot), slot * SLOTS);
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
  const text = `${check.name} ${check.kind} ${check.message}`.toLowerCase();
  return view.filter.split(/\s+/).every((word) => text.includes(word));
}

/** Which rows are to be seen, and what the heads of groups say. */
function drawGroups() {
  let shown = 0;
  for (const group of view.groups) {
    const members = group.members.map((name) => store.checks.get(name));
    const matching = members.filter(isShown);
    const isFolded = view.folded.has(group.name);
    shown += matching.length;
    for (const check of members) view.rows.get(check.name).line.hidden = isFolded || !isShown(check);
    group.body.hidden = matching.length === 0;
    if (!group.head) continue;
    setAttribute(group.button, "aria-expanded", String(!isFolded));
    setText(group.words, counted(matching.length, "check", "checks"));
    const states = STATES.filter((state) => state !== "ok" && matching.some((check) => check.state === state));
    const key = states.map((state) => `${state} ${matching.filter((check) => check.state === state).length}`).join();
    if (group.key !== key) {
      group.key = key;
      group.signs.replaceChildren(...states.map((state) => element("span", { class: `badge ${state}` }, icon(state), element("span", null, `${matching.filter((check) => check.state === state).length} ${state}`))));
    }
  }
  const nothing = byId("nothing");
  nothing.hidden = shown > 0 || store.checks.size === 0;
  setText(nothing, "No check matches. Esc clears the filter.");
  table.hidden = shown === 0;
  const visible = visibleNames();
  if (!visible.includes(view.current)) makeCurrent(visible[0] ?? null);
}

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
    setAttribute(button, "aria-pressed", String(view.states.has(state)));
  }
}

function visibleNames() {
  return view.groups.flatMap((group) => group.members).filter((name) => !view.rows.get(name).line.hidden);
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

byId("span").addEventListener("change", (event) => {
  view.slot = Number(event.target.value);
  setText(byId("bars-title"), `Last ${event.target.selectedOptions[0].textContent}`);
  for (const check of store.checks.values()) drawCharts(view.rows.get(check.name), check);
});
