// Puts the parts together: what the daemon tells, when to draw, where to go, and which key does what.

/** Draws what is dirty, at most once for each frame; where there are no frames, because nobody looks, now and then. */
let drawingIsDue = false;
function schedule() {
  if (drawingIsDue) return;
  drawingIsDue = true;
  if (document.hidden) setTimeout(draw, 200);
  else requestAnimationFrame(draw);
}

function draw() {
  drawingIsDue = false;
  const { dirty } = store;
  const all = dirty.has("all");
  if (dirty.size > 0 && store.outline) {
    explainSkips();
    if (all || dirty.has("verdict")) drawVerdict();
    if (detail.name === null) {
      drawList(all, dirty.has("verdict"));
      if (all || dirty.has("graph") || dirty.has("verdict")) drawGraph();
      if (all || dirty.has("timeline")) drawTimeline();
    } else if (all || dirty.has("verdict") || dirty.has(detail.name)) {
      drawCheck();
    }
    store.dirty = new Set();
  }
  drawLink();
}

// What the stream tells.

/** How often the uptimes in the list are asked for again. */
const UPTIME_REFRESH = 60_000;
let historyIsAskedFor = false;
let historyWasAsked = 0;
/** Something has come in between of which the history that is under way may not tell. */
let historyIsOld = false;
async function refreshHistory() {
  if (historyIsAskedFor) return;
  historyIsAskedFor = true;
  do {
    historyIsOld = false;
    historyWasAsked = Date.now();
    const { instance } = store;
    let history = await askForHistory();
    // A history that is still being opened is there soon.
    for (let tries = 0; history === null && tries < 20 && link.state === "live"; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 500 + 250 * tries));
      history = await askForHistory();
    }
    if (history === null || store.instance !== instance) continue;
    takeHistory(history.services, history.kubelet);
    schedule();
    if (detail.name !== null) refreshCheck();
  } while (historyIsOld);
  historyIsAskedFor = false;
}

function told(event, data) {
  if (event === "snapshot") {
    const isAnother = takeSnapshot(data);
    if (isAnother && detail.name !== null) openCheck(detail.name);
    const isWithheld = data.checks.some((check) => check.message === WITHHELD);
    setText(byId("footnote"), `probelet · ${counted(data.checks.length, "check", "checks")}${isWithheld ? " · messages are withheld (server.details: names)" : ""}`);
    historyIsOld = true;
    refreshHistory();
  } else if (event === "tick") {
    addRun(data);
    takeTick(data);
  } else if (event === "transition") {
    takeTransition(data);
    if (data.name === detail.name) detail.asked = 0;
  }
  schedule();
}

function connectionChanged() {
  store.dirty.add("verdict");
  schedule();
}

// Where the page is: all checks, or one of them.

let cameFrom = null;
function route() {
  const match = /^#\/check\/(.+)$/.exec(location.hash);
  let name = null;
  try {
    name = match && decodeURIComponent(match[1]);
  } catch {
    // What cannot be read names no check.
  }
  byId("overview").hidden = name !== null;
  byId("check").hidden = name === null;
  store.dirty.add("all");
  if (name === null) {
    const left = detail.name;
    Object.assign(detail, { name: null, service: null, runs: [] });
    byId("check").replaceChildren();
    draw();
    if (left !== null) {
      view.rows.get(left)?.link.focus({ preventScroll: true });
      scrollTo(0, cameFrom ?? 0);
    }
  } else {
    if (detail.name === null) cameFrom = scrollY;
    openCheck(name);
    draw();
    scrollTo(0, 0);
    byId("check").querySelector("h1")?.focus({ preventScroll: true });
  }
}

// Light and dark.

const THEMES = ["system", "light", "dark"];
const THEME_SIGNS = { system: "◐", light: "☀", dark: "☾" };
const THEME_WORDS = { system: "as the system", light: "light", dark: "dark" };
let theme = "system";

/** A browser may refuse to remember anything. */
function remembered() {
  try {
    return localStorage.getItem("probelet-theme");
  } catch {
    return null;
  }
}

function setTheme(next) {
  theme = THEMES.includes(next) ? next : "system";
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText(byId("theme"), THEME_SIGNS[theme]);
  setAttribute(byId("theme"), "aria-label", `Theme: ${THEME_WORDS[theme]}`);
  setAttribute(byId("theme"), "title", `Theme: ${THEME_WORDS[theme]}`);
}

function nextTheme() {
  setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
  try {
    localStorage.setItem("probelet-theme", theme);
  } catch {
    // It lasts as long as the page then.
  }
}

// Keys.

const KEYS = {
  "/": () => byId("filter").focus(),
  f: foldAll,
  j: () => walk(1),
  k: () => walk(-1),
  ArrowDown: () => walk(1),
  ArrowUp: () => walk(-1),
  t: nextTheme,
  "?": () => byId("help").showModal(),
};

function back() {
  if (detail.name !== null) location.hash = "#/";
  else if (view.filter !== "" || view.states.size > 0) clearFilter();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (isTyping) {
      clearFilter();
      event.target.blur();
    } else {
      back();
    }
    return;
  }
  // From the filter the arrows lead into the list.
  const leavesFilter = event.target.id === "filter" && (event.key === "ArrowDown" || event.key === "Enter");
  if (isTyping && !leavesFilter) return;
  const act = leavesFilter ? KEYS.ArrowDown : KEYS[event.key];
  const isArrow = event.key.startsWith("Arrow");
  // Elsewhere the arrows scroll, as always.
  if (!act || (detail.name !== null && "jkf/".includes(event.key)) || (isArrow && !leavesFilter && !table.contains(event.target))) return;
  event.preventDefault();
  act();
});

byId("theme").addEventListener("click", nextTheme);
byId("help-open").addEventListener("click", KEYS["?"]);
byId("help-close").addEventListener("click", () => byId("help").close());
byId("signs").append(...STATES.map((state) => element("div", null, element("dt", null, badge(state)), element("dd", null, MEANINGS[state]))));
for (const happens of ["pointermove", "pointerdown"]) document.addEventListener(happens, pointAt);
addEventListener("scroll", () => { byId("tip").hidden = true; }, true);
addEventListener("hashchange", route);
addEventListener("online", reconnect);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    // A frame that was asked for does not come any more.
    if (drawingIsDue) setTimeout(draw, 200);
    return;
  }
  reconnect();
  schedule();
});

setInterval(() => {
  drawLink();
  if (link.state !== "live" || document.hidden || !store.outline) return;
  drawCauseAges();
  if (Date.now() - historyWasAsked > UPTIME_REFRESH) refreshHistory();
  if (detail.name === null) drawAges();
  else drawCheckAges();
}, 1000);

setTheme(remembered());
route();
drawLink();
follow(told, connectionChanged);
