// Small charts: how a check stood over time, and how long its runs took.

/** Slots of a strip of bars. */
const SLOTS = 90;
const SLOT_WIDTH = 4;
const BAR_WIDTH = 3;
const STRIP_HEIGHT = 24;

/**
 * How tall a bar is for a standing: what is well stays low, so that trouble stands out without any colour. Where a check
 * was down for a part of the time, the part stands on top of the rest.
 */
const BAR_HEIGHTS = { up: 11, degraded: 17, down: 24, unknown: 11 };
const LEAST_CAP = 4;
const STANDINGS = Object.keys(BAR_HEIGHTS);

/** The time up to now, in each of the slots before `end`, that a check stood like this or that: `{ up, degraded, down, unknown }`. */
function slotsOf(intervals, end, slot) {
  const begin = end - SLOTS * slot;
  const slots = Array.from({ length: SLOTS }, () => ({ up: 0, degraded: 0, down: 0, unknown: 0 }));
  for (const { standing, from, to } of intervals) {
    const [first, last] = [Math.max(from, begin), Math.min(to ?? now(), now(), end)];
    for (let at = first; at < last; ) {
      const place = Math.min(SLOTS - 1, Math.floor((at - begin) / slot));
      const until = Math.min(last, begin + (place + 1) * slot);
      slots[place][standing] += until - at;
      at = Math.max(until, at + 1);
    }
  }
  return slots;
}

/** What a slot is shown as, from its foot up: `[[standing, height], …]`; nothing where nobody watched yet. */
function shownAs({ up, degraded, down, unknown }) {
  const whole = up + degraded + down + unknown;
  if (whole === 0) return [];
  if (down === whole) return [["down", BAR_HEIGHTS.down]];
  const rest = degraded > 0 ? "degraded" : unknown > up ? "unknown" : "up";
  const foot = [rest, BAR_HEIGHTS[rest]];
  if (down === 0) return [foot];
  const room = BAR_HEIGHTS.down - foot[1];
  return [foot, ["down", Math.round(LEAST_CAP + (room - LEAST_CAP) * (down / whole))]];
}

/** An empty strip; `drawStrip` fills it. One path for each standing, however many bars. */
function strip() {
  const paths = STANDINGS.map((standing) => drawing("path", { class: `bars ${standing}` }));
  const box = `0 0 ${SLOTS * SLOT_WIDTH - 1} ${STRIP_HEIGHT}`;
  const ground = drawing("path", { class: "bars none" });
  return drawing("svg", { class: "strip", viewBox: box, preserveAspectRatio: "none", role: "img", "aria-label": "How it stood lately" }, ground, ...paths);
}

function drawStrip(svg, slots, span, end) {
  svg.told = { slots, span, end };
  const paths = Object.fromEntries(STANDINGS.map((standing) => [standing, ""]));
  let ground = "";
  slots.forEach((slot, place) => {
    const x = place * SLOT_WIDTH;
    const parts = shownAs(slot);
    if (parts.length === 0) ground += `M${x} ${STRIP_HEIGHT - 2}h${BAR_WIDTH}v2h-${BAR_WIDTH}z`;
    let foot = STRIP_HEIGHT;
    for (const [standing, height] of parts) {
      paths[standing] += `M${x} ${foot - height}h${BAR_WIDTH}v${height}h-${BAR_WIDTH}z`;
      foot -= height;
    }
  });
  setAttribute(svg.children[0], "d", ground);
  STANDINGS.forEach((standing, place) => setAttribute(svg.children[place + 1], "d", paths[standing]));
  setAttribute(svg, "aria-label", describe(slots, span));
}

/** The bar under the pointer, in words, beside the pointer. */
function pointAt(event) {
  const tip = byId("tip");
  const told = event.target.closest?.(".strip")?.told;
  tip.hidden = !told;
  if (!told) return;
  const box = event.target.closest(".strip").getBoundingClientRect();
  const place = Math.min(SLOTS - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * SLOTS)));
  const slot = told.span / SLOTS;
  const from = told.end - (SLOTS - place) * slot;
  const parts = STANDINGS.filter((standing) => told.slots[place][standing] > 0);
  const said = parts.map((standing) => (parts.length === 1 ? STANDING_NAMES[standing] : `${STANDING_NAMES[standing]} ${showDuration(told.slots[place][standing])}`));
  setText(tip, `${showTime(from, now())}, ${showDuration(slot)}: ${said.join(", ") || "not watched"}`);
  tip.style.left = `${Math.max(8, Math.min(innerWidth - tip.offsetWidth - 8, event.clientX - tip.offsetWidth / 2))}px`;
  tip.style.top = `${box.top > 44 ? box.top - tip.offsetHeight - 6 : box.bottom + 6}px`;
}

const STANDING_NAMES = { up: "up", degraded: "degraded", down: "down", unknown: "no verdict" };

/** A strip in words. */
function describe(slots, span) {
  const sums = { up: 0, degraded: 0, down: 0, unknown: 0 };
  for (const slot of slots) for (const standing of STANDINGS) sums[standing] += slot[standing];
  const known = sums.up + sums.degraded + sums.down;
  const parts = STANDINGS.filter((standing) => sums[standing] > 0).map((standing) => `${STANDING_NAMES[standing]} ${showDuration(sums[standing])}`);
  return `Last ${showDuration(span)}: ${known + sums.unknown > 0 ? parts.join(", ") : "nothing is known"}`;
}

/** The slots of a strip that ends now: how long each is, and where the last one ends. */
function slotting(length, at) {
  return { slot: length, end: Math.ceil(at / length) * length };
}

const SPARK_WIDTH = 80;
const SPARK_HEIGHT = 24;

/** An empty sparkline; `drawSpark` fills it. */
function spark() {
  const parts = ["area", "curve", "gap"].map((name) => drawing("path", { class: name }));
  const box = `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`;
  return drawing("svg", { class: "spark", viewBox: box, preserveAspectRatio: "none", "aria-hidden": "true" }, ...parts);
}

/** The latencies of the last runs; one that did not pass is a gap with a mark at its foot. */
function drawSpark(svg, times) {
  const { area, curve, gap } = curveOf(times, SPARK_WIDTH, SPARK_HEIGHT - 2, MOST_TIMES);
  setAttribute(svg.children[0], "d", area);
  setAttribute(svg.children[1], "d", curve);
  setAttribute(svg.children[2], "d", gap);
}

/** The paths of a curve in a box; the newest value is at its right edge. */
function curveOf(times, width, height, places) {
  const most = Math.max(1, ...times.filter((time) => time !== null)) * 1.05;
  const step = width / Math.max(1, places - 1);
  const first = width - (times.length - 1) * step;
  const paths = { area: "", curve: "", gap: "", most };
  let begin = null;
  times.forEach((time, place) => {
    const x = (first + place * step).toFixed(1);
    if (time === null) {
      paths.gap += `M${x} ${height + 2}v-6`;
      begin = null;
      return;
    }
    const y = (height - (time / most) * (height - 2)).toFixed(1);
    const alone = begin === null && (times[place + 1] ?? null) === null;
    paths.curve += begin === null ? `M${x} ${y}` : `L${x} ${y}`;
    if (alone) paths.curve += "h.01";
    begin ??= x;
    paths.area += begin === x ? `M${x} ${height + 2}V${y}` : `L${x} ${y}`;
    if ((times[place + 1] ?? null) === null) paths.area += `V${height + 2}z`;
  });
  return paths;
}

/** The steps of a workflow, as a row of stages. */
function stages(steps) {
  const stage = (step) => {
    const what = step.message && step.message !== WITHHELD ? `: ${step.message}` : "";
    const took = step.latency_ms === null ? "" : showLatency(step.latency_ms);
    return element("li", { class: `stage ${step.state}`, title: `${step.name} ${step.state}${what}` },
      icon(step.state), element("span", { class: "step" }, step.name), element("span", { class: "unseen" }, ` ${step.state} `),
      took && element("span", { class: "took" }, took));
  };
  return element("ol", { class: "stages", "aria-label": "Steps" }, ...steps.map(stage));
}

/** Draws the stages anew where they differ. */
function drawStages(place, steps) {
  const key = JSON.stringify(steps);
  if (place.steps === key) return;
  place.steps = key;
  place.replaceChildren(...(steps.length > 0 ? [stages(steps)] : []));
}
