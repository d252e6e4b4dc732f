// Two hundred checks: few requests, no stutter, and only what changed is drawn.

import assert from "node:assert/strict";
import { test } from "node:test";
import { daemon, open, settled } from "../house.js";

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
    window.rowsAt = new Promise((there) => {
      new MutationObserver((_, observer) => {
        if (document.querySelectorAll("tr.check").length < 200) return;
        observer.disconnect();
        there(performance.now());
      }).observe(document, { subtree: true, childList: true });
    });
  });
  const requests = [];
  page.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await page.goto(house.url);
  const rows = await page.evaluate(() => window.rowsAt);
  await settled(page);
  await page.waitForFunction(() => document.querySelectorAll("tr.check.ok").length === 200);
  await page.waitForFunction(() => [...document.querySelectorAll("tr.check .spark .curve")].slice(0, 8).every((curve) => curve.getAttribute("d")));
  const loading = await page.evaluate(() => window.tasks.splice(0));
  // It goes on living for a while: each check ticks three times.
  await page.evaluate(() => new Promise((done) => {
    let frames = 0;
    const next = () => (++frames < 180 ? requestAnimationFrame(next) : done());
    next();
  }));
  const living = await page.evaluate(() => window.tasks);
  const longest = (tasks) => Math.round(Math.max(0, ...tasks));
  t.diagnostic(`rows after ${Math.round(rows)} ms; longest task while loading ${longest(loading)} ms, afterwards ${longest(living)} ms; ${requests.length} requests`);
  assert.ok(requests.length <= 5, requests.join(" "));
  assert.ok(rows < 20_000 && longest(loading) < 5000 && longest(living) < 2000);
  await page.keyboard.press("/");
  await page.keyboard.type("check_19");
  assert.equal(await page.$$eval("tr.check", (all) => all.filter((row) => row.offsetParent !== null).length), 11);
  quiet();
  await close();
});
