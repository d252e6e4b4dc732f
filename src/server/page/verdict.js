// The top of the page: how the whole stands, each endpoint, and the root causes in words.

const VERDICT_WORDS = { ok: "open", degraded: "open, degraded", error: "closed" };
const FAVICON_COLOURS = { ok: "%231f8a53", degraded: "%23b97a00", error: "%23cc2f37", lost: "%237d8794" };
const FAVICON_SIGNS = {
  ok: "M4.5 8.5l2.5 2.5 4.5-5.5",
  degraded: "M8 3.8v5M8 11.5v.3",
  error: "M5 5l6 6M11 5l-6 6",
  lost: "M6 6.2a2 2 0 1 1 2.6 1.9q-.6.3-.6 1.2M8 11.7v.2",
};

let announced = "";

function drawVerdict() {
  const counts = tally();
  const causes = rootCauses();
  const isDraining = store.endpoints.some((endpoint) => endpoint.draining);
  const service = store.service || "probelet";
  setText(byId("brand"), service);
  setText(byId("instance"), store.instance === service ? "" : store.instance);
  setText(byId("version"), store.version ?? "");
  const verdict = store.status;
  const isLive = link.state === "live";
  const words = `${isLive ? "is" : "was"} ${isDraining ? "draining" : { ok: "healthy", degraded: "degraded", error: "failing" }[verdict]}`;
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
  const named = causes.filter((cause) => !cause.isMild || verdict === "degraded");
  if (isLive) announce(`${service} ${words}.${named.length > 0 ? ` Root cause: ${listed(named.map((cause) => cause.name))}.` : ""}`);
}

function summary(counts, isDraining) {
  const total = store.checks.size;
  const parts = [];
  if (isDraining) parts.push("No new traffic is wanted: /readyz and /healthz are closed.");
  if (total === 0) {
    // Without a configuration the daemon says why.
    const none = store.disabled.length > 0 ? "Every check is switched off" : "There are no checks";
    parts.push(store.status === "error" && !isDraining ? store.message : `${none}: every endpoint is open.`);
  } else if (counts.ok === total) {
    parts.push(total === 1 ? "Its check passes." : `All ${total} checks pass.`);
  } else {
    const words = { error: ["fails", "fail"], stale: ["is stale", "are stale"], degraded: ["is degraded", "are degraded"], skipped: ["waits behind a failure", "wait behind failures"], pending: ["has no verdict yet", "have no verdict yet"], ok: ["passes", "pass"] };
    const said = STATES.filter((state) => counts[state] > 0).map((state) => `${counts[state]} ${words[state][counts[state] === 1 ? 0 : 1]}`);
    parts.push(`Of ${counted(total, "check", "checks")} ${listed(said, 6)}.`);
  }
  return parts.join(" ");
}

function drawEndpoints() {
  const list = byId("gates");
  const key = JSON.stringify([store.endpoints, link.state === "live"]);
  if (list.key === key) return;
  list.key = key;
  list.replaceChildren(...store.endpoints.map(({ name, verdict, draining, root_causes: causes }) => {
    const isOpen = verdict !== "error";
    const means = draining ? "draining" : ENDPOINTS[name][isOpen ? "open" : "closed"];
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
  const shown = grave.slice(0, 6);
  const key = JSON.stringify([grave.length, shown.map((cause) => [cause.name, cause.state, cause.message, cause.since, cause.isMild, cause.waiting, cause.definition?.runbook]), alone.map((cause) => [cause.name, cause.state, cause.message])]);
  if (section.key === key) return;
  section.key = key;
  section.replaceChildren(...shown.map(causeCard));
  if (grave.length > shown.length) section.append(element("p", { class: "more" }, `and ${grave.length - shown.length} more`));
  if (alone.length > 0) section.append(aloneLine(alone));
}

const hasEffect = (cause) => !cause.isMild || cause.waiting.length > 0;

function aloneLine(causes) {
  const said = causes.length === 1 && reasonOf(causes[0]) ? `: ${reasonOf(causes[0])}` : "";
  const words = causes.length === 1 ? " closes nothing, and nothing waits behind it" : " close nothing, and nothing waits behind them";
  return element("p", { class: "alone" }, icon("degraded"), element("span", null, causes.length === 1 ? "Fails, but" : "Fail, but", words, ": ", ...linked(causes.map((cause) => cause.name)), said));
}

function causeCard(cause) {
  const { waiting, isMild } = cause;
  const why = cause.message && cause.message !== WITHHELD ? cause.message : cause.state;
  const since = moment(cause.since, showDuration(now() - cause.since));
  since.since = cause.since;
  const card = element("div", { class: `cause ${cause.state}${isMild ? " mild" : ""}` }, icon(cause.state),
    element("div", null,
      element("p", { class: "what" }, element("span", { class: "unseen" }, "Root cause: "), linkTo(cause.name), element("span", { class: "why" }, `: ${why}`)),
      element("p", { class: "behind" }, `${cause.state === "stale" ? "stale" : "failing"} for `, since,
        ...(waiting.length > 0 ? [". Behind it: ", ...linked(waiting), waiting.length === 1 ? " is skipped." : " are skipped."] : [". Nothing waits behind it."]),
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
  drawKubelet();
}

/** The tab's title and sign. */
function drawTab(verdict, words) {
  const shown = link.state === "live" ? verdict : "lost";
  // Ten pages of ten pods are told apart by their tabs.
  const which = store.instance && store.instance !== store.service ? ` · ${store.instance}` : "";
  document.title = `${shown === "lost" ? `No connection – ${store.service || "probelet"}` : `${{ ok: "✓", degraded: "!", error: "✕" }[verdict]} ${words}`}${which}`;
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
  banner.hidden = link.state !== "lost";
  if (link.state === "lost") {
    const heard = link.heard ? `Last heard ${showDuration(Date.now() - link.heard)} ago: what is shown below is from then.` : "Nothing was heard yet.";
    const reason = link.reason ? ` (${link.reason})` : "";
    setText(banner.firstElementChild, `No connection to the daemon${reason}. `);
    setText(banner.lastElementChild, `${heard} Trying again …`);
  }
  if (!isLive) drawTab(store.status, "");
}
