// What happened, newest first. What happened to several checks in the same second is one entry.

/** So many entries are drawn; the rest is a click away, in the view of each check. */
const MOST_ENTRIES = 60;

const STANDING_WORDS = { up: ["ok", "ok"], down: ["error", "error"], unknown: ["pending", "no verdict"], degraded: ["degraded", "degraded"] };

/** The sign and the word for where a check went. */
const signAndWord = (to) => STANDING_WORDS[to] ?? [to, to];

function drawTimeline(all) {
  const place = byId("timeline");
  const entries = entriesOf(store.moments);
  const key = JSON.stringify(entries.map((entry) => [entry.at, entry.to, entry.names, entry.message]));
  if (!all && place.key === key) return;
  place.key = key;
  if (entries.length === 0) {
    place.replaceChildren(element("li", { class: "empty" }, "Nothing has changed since the daemon watches."));
    return;
  }
  place.replaceChildren(...entries.map(makeEntry));
}

function entriesOf(moments) {
  const entries = [];
  for (const moment of moments) {
    const second = Math.floor(moment.at / 1000);
    const same = entries.findLast((entry) => Math.floor(entry.at / 1000) === second && entry.from === moment.from && entry.to === moment.to && entry.message === moment.message);
    if (same) same.names.push(moment.name);
    else if (entries.length === MOST_ENTRIES) break;
    else entries.push({ ...moment, names: [moment.name] });
  }
  return entries;
}

function makeEntry({ at, from, to, names, lasted, message }) {
  const [sign, word] = signAndWord(to);
  const says = message && message !== WITHHELD ? message : "";
  const isRecovery = ["ok", "degraded"].includes(to) && ["error", "skipped", "stale"].includes(from);
  const length = lasted < 1000 ? "less than 1 s" : showDuration(lasted);
  const after = isRecovery ? ` after ${length} ${from === "error" ? "failing" : from}` : "";
  return element("li", { class: `entry ${sign}` }, moment(at, showTime(at, now())), icon(sign),
    element("p", null, ...linked([...new Set(names)], 5), " ", element("b", { class: sign }, word), `${after}${says && `: ${says}`}`));
}
