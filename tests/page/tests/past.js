// What is told of the past: the cause of an outage is in the time line however many waited behind it, bars end now, and
// what a page has not been told it asks for again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, daemon, open, scripted, settled, target, texts, transition, until } from "../house.js";

/** The entries of the time line, without their times. */
const entries = async (page) => (await texts(page, "#timeline .entry")).map((entry) => entry.replace(/^.*?\d\d:\d\d:\d\d /, ""));

/** How many checks those of the entries name that end like this. */
const named = (all, end) => all.filter((entry) => entry.endsWith(end)).reduce((sum, entry) => {
  const names = entry.slice(0, -end.length);
  return sum + (names.match(/c\d+/g)?.length ?? 0) + Number(/ and (\d+) more$/.exec(names)?.[1] ?? 0);
}, 0);

const CROWD = 300;

test("of an outage with hundreds behind it the cause is told, its end, and how many waited", async () => {
  const database = await target();
  const crowd = Array.from({ length: CROWD }, (_, place) => `  - { name: "g${place % 10}/c${place}", simulated: {}, depends_on: [db] }`);
  const house = await daemon(["service: { name: fleet }", "defaults: { interval: 1s, timeout: 5s }", "checks:", `  - { name: db, http: { url: "${database.url}" } }`, ...crowd].join("\n"));
  const { page, quiet, close } = await open(house.url);
  await page.waitForFunction((count) => document.querySelectorAll("tr.check.ok").length === count + 1, CROWD);
  database.status = 500;
  await page.waitForFunction((count) => document.querySelectorAll("tr.check.skipped").length === count, CROWD);
  const during = await until("the outage is told", async () => {
    const all = await entries(page);
    return named(all, " skipped: waits for db") === CROWD && all;
  });
  assert.ok(during.includes("db error: returned status 500"), during.join(" | "));
  database.status = 200;
  await page.waitForFunction((count) => document.querySelectorAll("tr.check.ok").length === count + 1, CROWD);
  for (const again of [false, true]) {
    if (again) await page.reload();
    const after = await until("the end is told", async () => {
      const all = await entries(page);
      return all.some((entry) => /^db ok after .* failing: db OK/.test(entry)) && all;
    });
    assert.ok(after.includes("db error: returned status 500"), `${again} ${after.join(" | ")}`);
    assert.ok(after.length < 60, `${again} ${after.length} entries`);
    assert.ok(!after.some((entry) => /c\d+ OK \(/.test(entry) && / and /.test(entry)), after.join(" | "));
  }
  quiet();
  await close();
});

const ONE = "service: { name: shop }\nchecks: [{ name: db, simulated: {}, interval: 1h }]";

/** A daemon whose checks have run, and run no more. */
async function quietHouse() {
  const house = await daemon(ONE);
  await until("it has run", async () => (await ask(house, "healthz?format=json")).checks[0].state === "ok");
  return house;
}

test("the last bar ends now", async () => {
  const began = Date.now();
  const { page, say, quiet, close } = await scripted(await quietHouse());
  await settled(page);
  await say([transition("db", "ok", "error", "connection refused")]);
  await page.waitForSelector("tr.check.error");
  // It is drawn anew whenever somebody chooses.
  const label = await until("it is down for a while", async () => {
    await page.selectOption("#span", "0");
    await page.selectOption("#span", "86400000");
    const label = await page.locator("tr.check .strip").getAttribute("aria-label");
    return / down [1-9]/.test(label) && label;
  });
  const [, down] = /^Last 1 d: .*down ([^,]*)/.exec(label);
  const [, minutes = 0, seconds = 0] = /^(?:(\d+) min)? ?(?:(\d+) s)?$/.exec(down);
  // The daemon's word has whole seconds.
  assert.ok(minutes * 60 + Number(seconds) <= (Date.now() - began) / 1000 + 2, label);
  quiet();
  await close();
});

test("a page that is hidden while it is to be drawn is drawn", async () => {
  const { page, say, quiet, close } = await scripted(await quietHouse());
  await page.waitForFunction(() => document.title.startsWith("✓"));
  await page.evaluate(() => { window.requestAnimationFrame = () => 0; });
  await say("tick", { name: "db", created_at: Math.floor(Date.now() / 1000), outcome: "fail", response_time_ms: 1, reason: "connect", message: "connection refused", consecutive_failures: 1 });
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await say([transition("db", "ok", "error", "connection refused", [{ name: "healthz", verdict: "error", draining: false, root_causes: ["db"] }])]);
  await page.waitForFunction(() => document.title.startsWith("✕ shop is failing"));
  quiet();
  await close();
});

const HISTORY = "**/v1/services?include=history*";

test("a history that does not come is asked for again, and said to be missing", async () => {
  const house = await quietHouse();
  let [asked, answers] = [0, false];
  const { page, close } = await scripted(house, "", {
    clock: true,
    route: [HISTORY, (route) => {
      asked += 1;
      if (asked === 1 || answers) return route.continue();
    }],
  });
  await settled(page);
  await until("it is asked for a second time", async () => {
    await page.clock.fastForward(5000);
    return asked === 2;
  });
  await until("that is given up", async () => {
    await page.clock.fastForward(2000);
    return /^The daemon does not tell the past\. .*a browser has six connections to one address, and each page keeps one: close others of this daemon/.test((await texts(page, "#lost"))[0]);
  });
  answers = true;
  await until("it is there", async () => {
    await page.clock.fastForward(2000);
    return page.locator("#lost").isHidden();
  });
  assert.ok(asked > 2);
  await close();
});

test("a stream that does not begin says what may be wrong", async () => {
  const house = await quietHouse();
  const { page, close } = await open("about:blank", { clock: true });
  await page.route("**/v1/stream", () => {});
  await page.goto(house.url);
  await until("it is given up", async () => {
    await page.clock.fastForward(5000);
    return page.locator("#lost").isVisible();
  });
  assert.match((await texts(page, "#lost"))[0], /^No connection to the daemon \(no answer; a browser has six connections to one address, .*\)\. Nothing was heard yet\./);
  await close();
});

test("what a snapshot brings while the history is under way is asked for after it", async () => {
  const house = await quietHouse();
  let asked = 0;
  const waiting = [];
  const { page, say, snapshot, quiet, close } = await scripted(house, "", {
    route: [HISTORY, (route) => {
      asked += 1;
      return asked === 1 ? waiting.push(route) : route.continue();
    }],
  });
  await until("it is asked for", () => asked === 1);
  await say("snapshot", snapshot);
  await page.evaluate(() => new Promise((drawn) => setTimeout(drawn)));
  await waiting[0].continue();
  await until("it is asked for again", () => asked === 2);
  quiet();
  await close();
});

test("what was seen of one pod is not told of another", async () => {
  const { page, say, snapshot, quiet, close } = await scripted(await quietHouse());
  await settled(page);
  await say([transition("db", "ok", "error", "only here"), transition("db", "error", "ok", "fine again")]);
  await until("that is told", async () => (await entries(page)).includes("db error: only here"));
  await say("snapshot", { ...snapshot, instance: "shop-1" });
  await page.waitForFunction(() => document.querySelector("#instance").textContent === "shop-1");
  const all = await entries(page);
  assert.ok(!all.some((entry) => /only here|fine again/.test(entry)), all.join(" | "));
  quiet();
  await close();
});

test("on the next day what is of yesterday has its date", async () => {
  const { page, say, snapshot, quiet, close } = await scripted(await quietHouse(), "#/check/db");
  const times = async () => [...await texts(page, "#check .timeline time"), ...await texts(page, "#check .runs tbody time")];
  await page.waitForFunction(() => document.querySelectorAll("#check .runs tbody tr").length > 0);
  assert.ok((await times()).every((time) => /^\d\d:\d\d:\d\d$/.test(time)));
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
  await say("snapshot", { ...snapshot, timestamp: tomorrow });
  await until("there are dates", async () => (await times()).every((time) => /^\d+ \w+ \d{4}, \d\d:\d\d:\d\d$/.test(time)));
  quiet();
  await close();
});

test("the focus stays in the time line while the past is told again, and while more is added", async () => {
  const { page, say, snapshot, quiet, close } = await scripted(await quietHouse());
  await settled(page);
  await until("something is told", async () => (await entries(page)).length > 0);
  await page.focus("#timeline .entry a");
  const focused = () => page.evaluate(() => document.activeElement.closest("#timeline") && document.activeElement.textContent);
  const again = page.waitForResponse((response) => response.url().includes("include=history"));
  await say("snapshot", snapshot);
  await (await again).finished();
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn))));
  assert.equal(await focused(), "db");
  await say([transition("db", "ok", "error", "connection refused")]);
  await until("that is told", async () => (await entries(page)).includes("db error: connection refused"));
  assert.equal(await focused(), "db");
  quiet();
  await close();
});

test("bars are as long as the list says that they are, also for who comes back", async () => {
  const house = await quietHouse();
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await page.selectOption("#span", "86400000");
  await page.goto("about:blank");
  await page.goBack();
  await settled(page);
  const chosen = await page.$eval("#span", (select) => select.selectedOptions[0].textContent);
  await until("the title says the same", async () => (await page.locator("#bars-title").textContent()) === `Last ${chosen}`);
  quiet();
  await close();
});
