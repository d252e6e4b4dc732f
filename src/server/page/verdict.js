// The top of the page: how the whole stands, each endpoint, and the root causes in words.

const VERDICT_WORDS = { ok: "open", degraded: "open, degraded", error: "closed" };
const TAB_SIGNS = { ok: "✓", degraded: "!", error: "✕", pending: "…" };
const FAVICON_COLOURS = { ok: "%231f8a53", degraded: "%23b97a00", error: "%23cc2f37", pending: "%237d8794", lost: "%237d8794" };
const FAVICON_SIGNS = {
  ok: "M4.5 8.5l2.5 2.5 4.5-5.5",
  degraded: "M8 3.8v5M8 11.5v.3",
  error: "M5 5l6 6M11 5l-6 6",
  pending: "M4.5 8h.01M8 8h.01M11.5 8h.01",
  lost: "M6 6.2a2 2 0 1 1 2.6 1.9q-.6.3-.6 1.2M8 11.7v.2",
};

let announced = "";

/** So many causes have a card. */
const MOST_CARDS = 6;

/** How the whole stands: its sign, and a word for it. */
function wholeStanding(isDraining) {
  const { status } = store;
  if (isDraining) return [status, "draining"];
  if (status === "error") return isWaiting(store.endpoints.find(({ name }) => name === "healthz")) ? ["pending", "waiting for results"] : ["error", "failing"];
  const closed = Object.keys(CLOSED_BESIDES).map((name) => store.endpoints.find((endpoint) => endpoint.name === name)).find((endpoint) => endpoint && isClosed(endpoint));
  if (closed) return [isWaiting(closed) ? "pending" : "error", CLOSED_BESIDES[closed.name]];
  return [status, status === "ok" ? "healthy" : status];
}

/** Whether an endpoint is closed because there is no result yet, and not because something fails. */
function isWaiting(endpoint) {
  const causes = endpoint?.root_causes.map((name) => store.checks.get(name)).filter(Boolean) ?? [];
  return causes.length > 0 && causes.every((check) => isPending(check) && !isFaltering(check));
}

function drawVerdict() {
  const counts = tally();
  const causes = rootCauses();
  const isDraining = store.endpoints.some((endpoint) => endpoint.draining);
  const service = store.service || "probelet";
  setText(byId("brand"), service);
  setText(byId("instance"), store.instance === service ? "" : store.instance);
  setText(byId("version"), store.version ?? "");
  const [verdict, word] = wholeStanding(isDraining);
  const isLive = link.state === "live";
  const words = `${isLive ? "is" : "was"} ${word}`;
  const headline = byId("headline");
  const key = `${service} ${words} ${verdict}`;
  if (headline.key !== key) {
    headline.key = key;
    headline.replaceChildren(icon(verdict), ` ${service} ${words}`);
  }
  setText(byId("summary"), summary(counts, isDraining));
  drawEndpoints();
  drawCauses(causes);
  drawTab(verdict, `${service} ${words}`);
  const named = causes.filter((cause) => !isPending(cause) && (!cause.isMild || verdict === "degraded"));
  if (isLive) announce(`${service} ${words}.${named.length > 0 ? ` Root cause: ${listed(named.map((cause) => cause.name))}.` : ""}`);
}

function summary(counts, isDraining) {
  const total = store.checks.size;
  const parts = [];
  const closed = store.endpoints.filter(isClosed);
  const faltering = [...store.checks.values()].filter(isFaltering).map((check) => check.name);
  const lastRuns = faltering.length === 1 ? "the last run of" : "the last runs of";
  if (isDraining) parts.push("No new traffic is wanted: /readyz and /healthz are closed.");
  if (total === 0) {
    // Without a configuration the daemon says why.
    const none = store.disabled.length > 0 ? "Every check is switched off" : "There are no checks";
    parts.push(store.status === "error" && !isDraining ? store.message : closed.length > 0 ? `${none}.` : `${none}: every endpoint is open.`);
  } else if (counts.ok === total) {
    const isWell = faltering.length === 0 && closed.length === 0;
    const words = isWell ? ["passes", "pass"] : ["is ok", "are ok"];
    const but = faltering.length > 0 ? `, but ${lastRuns} ${listed(faltering)} failed` : "";
    parts.push(total === 1 ? `Its check ${words[0]}${but}.` : `All ${total} checks ${words[1]}${but}.`);
  } else {
    const words = { error: ["fails", "fail"], stale: ["is stale", "are stale"], degraded: ["is degraded", "are degraded"], skipped: ["waits behind a failure", "wait behind failures"], pending: ["has no verdict yet", "have no verdict yet"], ok: ["passes", "pass"] };
    const said = STATES.filter((state) => counts[state] > 0).map((state) => `${counts[state]} ${words[state][counts[state] === 1 ? 0 : 1]}`);
    parts.push(`Of ${counted(total, "check", "checks")} ${listed(said, 6)}.`);
    if (faltering.length > 0) parts.push(`${lastRuns.replace("t", "T")} ${listed(faltering)} failed.`);
  }
  if (!isDraining && store.status !== "error" && closed.length > 0) parts.unshift(`${listed(closed.map(({ name }) => `/${name}`))} ${closed.length === 1 ? "is" : "are"} closed.`);
  return parts.join(" ");
}

function drawEndpoints() {
  const list = byId("gates");
  const waiting = store.endpoints.filter((endpoint) => isClosed(endpoint) && isWaiting(endpoint)).map(({ name }) => name);
  const key = JSON.stringify([store.endpoints, waiting, link.state === "live"]);
  if (list.key === key) return;
  list.key = key;
  list.replaceChildren(...store.endpoints.map(({ name, verdict, draining, root_causes: causes }) => {
    const isOpen = verdict !== "error";
    const { open, closed, waiting: awaited = closed } = ENDPOINTS[name];
    const means = draining ? "draining" : isOpen ? open : waiting.includes(name) ? awaited : closed;
    const word = `${link.state === "live" ? "" : "was "}${VERDICT_WORDS[verdict]}`;
    return element("li", { class: `gate ${verdict}` }, icon(verdict),
      element("div", null,
        element("p", { class: "path" }, `/${name}`),
        element("p", { class: "word" }, word),
        element("p", { class: "means" }, causes.length > 0 && !isOpen ? `${means}: ${listed(causes, 2)}` : means),
        element("p", { class: "kubelet", "data-endpoint": name })));
  }));
  drawKubelet();
}

/** How long until kubelet acts upon a closed endpoint, where it is known how it asks. It goes on while nothing happens. */
function drawKubelet() {
  for (const line of document.querySelectorAll("#gates .kubelet")) {
    const endpoint = store.endpoints.find(({ name }) => name === line.dataset.endpoint);
    setText(line, endpoint && link.state === "live" ? kubeletOn(endpoint) : "");
  }
}

function kubeletOn({ name, verdict, since }) {
  const [acts, kubelet] = [KUBELET_ACTS[name], store.kubelet.get(name)];
  if (!acts || !kubelet || !since || verdict !== "error") return "";
  const [asked, period, closed] = [kubelet.last_asked * 1000, kubelet.period_ms, Date.parse(since)];
  const first = asked + Math.ceil((closed - asked) / period) * period;
  const left = first + (KUBELET_FAILURES - 1) * period - now();
  const every = `kubelet asks every ${showDuration(period)}`;
  if (left <= 0) return `${every}: three failures or more; by default the third ${acts}`;
  return `${every}: its third failure comes in ${showDuration(left)}; by default that ${acts}`;
}

function drawCauses(causes) {
  const section = byId("causes");
  section.hidden = causes.length === 0;
  // What closes nothing, and for which nothing waits, is told in one line.
  const [grave, alone] = [causes.filter(hasEffect), causes.filter((cause) => !hasEffect(cause))];
  const shown = grave.slice(0, MOST_CARDS);
  const key = JSON.stringify([grave.length, shown.map((cause) => [cause.name, cause.state, cause.message, cause.failures, cause.since, cause.isMild, cause.waiting, cause.definition?.runbook]), alone.map((cause) => [cause.name, cause.state, cause.message, cause.failures])]);
  if (section.key === key) return;
  section.key = key;
  redraw(section, ...shown.map(causeCard),
    ...(grave.length > shown.length ? [element("p", { class: "more" }, `and ${grave.length - shown.length} more`)] : []),
    ...(alone.length > 0 ? [aloneLine(alone)] : []));
}

const hasEffect = (cause) => !cause.isMild || cause.waiting.length > 0;

/** Why a check stands as it does, also where its last run says otherwise; nothing where the daemon does not tell. */
function whyOf(check) {
  const reason = reasonOf(check);
  // It passes again, and has not done so often enough.
  return reason && check.state === "error" && check.failures === 0 ? `passes again, which does not count yet: ${reason}` : reason;
}

/** What goes on in it changes while it is shown. */
function whySpan(cause, otherwise) {
  const why = () => (whyOf(cause) ? `: ${whyOf(cause)}` : otherwise);
  return Object.assign(element("span", { class: "why" }, why()), { why });
}

function aloneLine(causes) {
  const [fail, stale] = ["error", "stale"].map((state) => causes.some((cause) => cause.state === state));
  const [one, several] = fail && stale ? ["", "Fail or are stale"] : stale ? ["Is stale", "Are stale"] : ["Fails", "Fail"];
  const words = causes.length === 1 ? `${one}, but closes nothing, and nothing waits behind it: ` : `${several}, but close nothing, and nothing waits behind them: `;
  return element("p", { class: "alone" }, icon("degraded"), element("span", null, words, ...linked(causes.map((cause) => cause.name)), causes.length === 1 ? whySpan(causes[0], "") : ""));
}

function causeCard(cause) {
  const { waiting, isMild } = cause;
  const since = moment(cause.since, showDuration(now() - cause.since));
  since.since = cause.since;
  // It closes what it closes, whatever its state says still.
  const sign = isFaltering(cause) ? "error" : cause.state;
  const card = element("div", { class: `cause ${sign}${isMild ? " mild" : ""}` }, icon(sign),
    element("div", null,
      element("p", { class: "what" }, element("span", { class: "unseen" }, "Root cause: "), linkTo(cause.name), whySpan(cause, `: ${sign}`)),
      element("p", { class: "behind" }, `${cause.state === "error" ? "failing" : cause.state} for `, since, isFaltering(cause) ? ", but its last run failed" : "",
        ...(waiting.length > 0 ? [". Behind it: ", ...linked(waiting), waiting.length === 1 ? " is skipped." : " are skipped."] : [isFailing(cause) ? ". Nothing waits behind it." : "."]),
        isMild ? " It closes no endpoint." : "")));
  const runbook = cause.definition?.runbook && outward(cause.definition.runbook, "Runbook");
  if (runbook) {
    runbook.className = "runbook";
    card.append(runbook);
  }
  return card;
}

/** The ages in the cards, which go on while nothing else happens. */
function drawCauseAges() {
  for (const time of byId("causes").querySelectorAll("time")) setText(time, showDuration(now() - time.since));
  for (const span of byId("causes").querySelectorAll(".why")) setText(span, span.why());
  drawKubelet();
}

/** The tab's title and sign. */
function drawTab(verdict, words) {
  const shown = link.state === "live" ? verdict : "lost";
  // Ten pages of ten pods are told apart by their tabs.
  const which = store.instance && store.instance !== store.service ? ` · ${store.instance}` : "";
  document.title = `${shown === "lost" ? `No connection – ${store.service || "probelet"}` : `${TAB_SIGNS[verdict]} ${words}`}${which}`;
  const sign = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='8' fill='${FAVICON_COLOURS[shown]}'/><path d='${FAVICON_SIGNS[shown]}' fill='none' stroke='white' stroke-width='2' stroke-linecap='round' stroke-linejoin='round'/></svg>`;
  setAttribute(document.querySelector("link[rel=icon]"), "href", `data:image/svg+xml,${sign}`);
}

/** Tells a screen reader what has changed, once. */
function announce(words) {
  if (words === announced) return;
  announced = words;
  setText(byId("announce"), words);
}

/** Whether the page is current, and since when it is not. */
function drawLink() {
  const isLive = link.state === "live";
  document.body.dataset.connection = link.state;
  setText(byId("link-words"), { live: "live", lost: "no connection", connecting: "connecting" }[link.state]);
  const banner = byId("lost");
  banner.hidden = link.state !== "lost" && !(isLive && link.isSlow);
  if (isLive && link.isSlow) {
    setText(banner.firstElementChild, "The daemon does not tell the past. ");
    setText(banner.lastElementChild, `States are live; bars and figures may be old (no answer; ${FEW_CONNECTIONS}). Trying again …`);
  }
  if (link.state === "lost") {
    const heard = link.heard ? `Last heard ${showDuration(Date.now() - link.heard)} ago: what is shown below is from then.` : "Nothing was heard yet.";
    const reason = link.reason ? ` (${link.reason})` : "";
    setText(banner.firstElementChild, `No connection to the daemon${reason}. `);
    setText(banner.lastElementChild, `${heard} Trying again …`);
  }
  if (!isLive) drawTab(store.status, "");
}
