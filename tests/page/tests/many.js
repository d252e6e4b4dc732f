// Two hundred checks: few requests, no stutter, and only what changed is drawn.

import assert from "node:assert/strict";
import { test } from "node:test";
import { daemon, open, settled, target, texts } from "../house.js";

const COUNT = 200;

const many = () => {
  const lines = ["service: { name: fleet }", "defaults: { interval: 1s }", "checks:", "  - { name: root, simulated: {} }"];
  for (let place = 1; place < COUNT; place += 1) {
    const parent = place % 10 === 0 ? "root" : `team_${Math.floor(place / 10)}/check_${place - 1}`;
    const known = place % 10 === 0 || place > 1 ? parent : "root";
    lines.push(`  - { name: team_${Math.floor(place / 10)}/check_${place}, simulated: { latency: 1ms..20ms }, depends_on: [${known}] }`);
  }
  return lines.join("\n");
};

test("two hundred checks are there at once and stay smooth", async (t) => {
  const house = await daemon(many());
  const { page, quiet, context, close } = await open("about:blank");
  await context.addInitScript(() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask", buffered: true });
    // What is drawn, in nodes and attributes that change: the rows of checks apart from the rest.
    window.drawn = { rows: 0, rest: 0 };
    new MutationObserver((records) => {
      for (const { target } of records) {
        const at = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
        window.drawn[at?.closest("tr.check") ? "rows" : "rest"] += 1;
      }
    }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  const requests = [];
  page.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await page.goto(house.url);
  await page.waitForFunction(() => document.querySelectorAll("tr.check.ok").length === 200);
  // Where nothing is wrong, groups begin folded: one screen or two, where all rows were fifteen.
  await page.waitForFunction(() => document.documentElement.scrollHeight < 3000);
  assert.deepEqual(await page.$$eval("tr.group button", (all) => [...new Set(all.map((button) => button.getAttribute("aria-expanded")))]), ["false"]);
  await page.keyboard.press("f");
  await settled(page);
  await page.waitForFunction(() => [...document.querySelectorAll("tr.check .spark .curve")].slice(0, 8).every((curve) => curve.getAttribute("d")));
  const loading = await page.evaluate(() => window.tasks.splice(0));
  // It goes on living until each check has ticked three times or so.
  const ticks = async () => {
    const metrics = await (await fetch(`${house.url}metrics`)).text();
    const counts = metrics.matchAll(/^healthcheck_runs_total\{.*\} (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const before = await ticks();
  await page.evaluate(() => { window.drawn = { rows: 0, rest: 0 }; });
  while (await ticks() < before + 3 * COUNT) await page.evaluate(() => new Promise(requestAnimationFrame));
  const { rows, rest } = await page.evaluate(() => window.drawn);
  const ticked = await ticks() - before;
  const living = await page.evaluate(() => window.tasks);
  const longest = (tasks) => Math.round(Math.max(0, ...tasks));
  t.diagnostic(`longest task while loading ${longest(loading)} ms, afterwards ${longest(living)} ms; ${ticked} ticks drew ${rows} things in rows, ${rest} elsewhere; ${requests.length} requests`);
  assert.ok(requests.length <= 5, requests.join(" "));
  // How long that takes is a matter of the machine; how much it is, is ours. A tick that drew every row would draw two
  // hundred times as much.
  assert.ok(rows > 0 && rows < 20 * ticked, `${rows} changes in rows for ${ticked} ticks`);
  await page.keyboard.press("/");
  await page.keyboard.type("check_19");
  assert.equal(await page.$$eval("tr.check", (all) => all.filter((row) => row.offsetParent !== null).length), 11);
  quiet();
  await close();
});

test("of an outage with more causes than an event names, the page knows all", async () => {
  const dependency = await target();
  const checks = Array.from({ length: 60 }, (_, place) => `  - { name: c${place}, http: { url: "${dependency.url}" } }`);
  const house = await daemon(["service: { name: fleet }", "defaults: { interval: 500ms, timeout: 5s }", "checks:", ...checks].join("\n"));
  const { page, quiet, close } = await open("about:blank");
  const streams = [];
  page.on("request", (request) => request.url().endsWith("/v1/stream") && streams.push(request.url()));
  await page.goto(house.url);
  await page.waitForFunction(() => document.querySelectorAll("tr.check.ok").length === 60);
  dependency.status = 500;
  await page.waitForFunction(() => document.querySelector("#causes .more")?.textContent === "and 54 more");
  assert.equal((await texts(page, "#gates .gate"))[1], "/readyz closed not ready for traffic: c0, c1 and 58 more");
  assert.deepEqual(await page.$$eval("#causes .mild, #causes .alone", (all) => all.map((one) => one.textContent)), []);
  dependency.status = 200;
  await page.waitForFunction(() => document.title.startsWith("✓ fleet is healthy"));
  assert.equal(streams.length, 1);
  quiet();
  await close();
});
