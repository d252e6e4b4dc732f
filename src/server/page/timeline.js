// What happened, newest first. What happened to several checks in the same second is one entry.

/** So many entries are drawn, of causes and of consequences each; the rest is a click away, in the view of each check. */
const MOST_ENTRIES = 60;

const STANDING_WORDS = { up: ["ok", "ok"], down: ["error", "error"], unknown: ["pending", "no verdict"], degraded: ["degraded", "degraded"] };

/** The sign and the word for where a check went. */
const signAndWord = (to) => STANDING_WORDS[to] ?? [to, to];

function drawTimeline() {
  const place = byId("timeline");
  const entries = entriesOf(store.moments);
  const key = JSON.stringify([dayOf(now()), entries.map((entry) => [entry.at, entry.to, [...entry.names], entry.message])]);
  if (place.key === key) return;
  place.key = key;
  if (entries.length === 0) redraw(place, element("li", { class: "empty" }, "Nothing has changed since the daemon watches."));
  else redraw(place, ...entries.map(makeEntry));
}

/**
 * What went the same way for the same reason in one second is one entry. Each check passes with words of its own, which
 * tell nothing of the others.
 */
function entriesOf(moments) {
  const entries = [];
  const last = new Map();
  for (const moment of moments) {
    const grave = isGrave(moment);
    const why = ["ok", "degraded", "pending", "up"].includes(moment.to) ? "" : moment.message;
    const key = `${secondOf(moment)} ${grave} ${signAndWord(moment.to)[1]} ${why}`;
    const same = last.get(key);
    if (same && !same.names.has(moment.name)) {
      same.names.add(moment.name);
      same.lengths.push(moment.lasted);
      if (same.from !== moment.from) same.from = "";
      if (same.message !== moment.message) same.message = "";
    } else {
      const entry = { ...moment, grave, names: new Set([moment.name]), lengths: [moment.lasted] };
      last.set(key, entry);
      entries.push(entry);
    }
  }
  const [causes, others] = [true, false].map((grave) => entries.filter((entry) => entry.grave === grave).slice(0, MOST_ENTRIES));
  const drawn = new Set([...causes, ...others]);
  return entries.filter((entry) => drawn.has(entry));
}

function makeEntry({ at, from, to, names, lengths, message }) {
  const [sign, word] = signAndWord(to);
  const says = message && message !== WITHHELD ? message : "";
  const isRecovery = ["ok", "degraded"].includes(to) && ["error", "skipped", "stale"].includes(from);
  const [shortest, longest] = [Math.min(...lengths), Math.max(...lengths)].map((length) => (length < 1000 ? "less than 1 s" : showDuration(length)));
  const length = shortest === longest ? longest : `up to ${longest}`;
  const after = isRecovery ? ` after ${length} ${from === "error" ? "failing" : from}` : "";
  return element("li", { class: `entry ${sign}` }, moment(at, showTime(at, now())), icon(sign),
    element("p", null, ...linked([...names], 5), " ", element("b", { class: sign }, word), `${after}${says && `: ${says}`}`));
}
