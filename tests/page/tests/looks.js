// The page as it is sent, and as it is for those who see it otherwise.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { daemon, open, settled, target } from "../house.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Every state but `stale`, a workflow, a group, and a graph. */
const config = (steps) => `
service: { name: shop, version: 1.2.3 }
defaults: { interval: 1s, timeout: 900ms }
checks:
  - { name: database, description: Orders, runbook: "https://runbooks.example.com/db", simulated: { error_rate: 1, error_message: connection refused } }
  - { name: app, simulated: {}, depends_on: [database] }
  - { name: internal_api/user, simulated: { latency: 50ms..60ms }, degraded_above: 10ms, critical: false }
  - { name: internal_api/new, simulated: {}, initial_delay: 10m }
  - name: end_to_end/order
    workflow:
      steps:
        - { name: login, http: { url: "${steps.url}" } }
        - { name: order, http: { url: "${steps.url}", expect: { status: 404 } } }
        - { name: pay, http: { url: "${steps.url}" } }
    critical: false
`;

async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join("; ")}`);
  assert.deepEqual(found, [], what);
}

test("nothing stands in anybody's way: light, dark, narrow, and in the view of a check", async () => {
  const house = await daemon(config(await target()));
  const views = [
    ["light", {}],
    ["dark", { colorScheme: "dark" }],
    ["narrow", { viewport: { width: 320, height: 640 } }],
    ["narrow and dark", { viewport: { width: 320, height: 640 }, colorScheme: "dark", reducedMotion: "reduce" }],
  ];
  for (const [what, options] of views) {
    const { page, quiet, close } = await open(house.url, options);
    await settled(page);
    await page.waitForSelector("tr.check.degraded");
    await page.waitForSelector(".stage.error");
    assert.deepEqual(await page.$$eval("tr.check .badge", (all) => [...new Set(all.map((badge) => badge.innerText))].sort()), ["degraded", "error", "pending", "skipped"]);
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok((await overflow()) <= 0, `${what} scrolls sideways`);
    quiet();
    await accessible(page, what);
    await page.keyboard.press("?");
    await accessible(page, `${what}, help`);
    await page.keyboard.press("Escape");
    for (const name of ["database", "end_to_end/order"]) {
      await page.goto(`${house.url}#/check/${encodeURIComponent(name)}`);
      await page.waitForFunction(() => document.querySelectorAll("#check .runs tbody tr").length > 1);
      assert.ok((await overflow()) <= 0, `${what}, ${name} scrolls sideways`);
      await accessible(page, `${what}, ${name}`);
    }
    await close();
  }
});

test("the page is small, whole, and may do nothing but ask where it came from", async (t) => {
  const house = await daemon("checks: []");
  const response = await fetch(house.url, { headers: { Accept: "text/html" } });
  const text = await response.text();
  const size = gzipSync(text).length;
  t.diagnostic(`${text.length} bytes, ${size} compressed`);
  assert.ok(size < 60_000, `${size} bytes compressed`);
  assert.match(
    response.headers.get("content-security-policy"),
    /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'$/,
  );
  const addresses = text.match(/https?:\/\/[^\s'"`)]+/g) ?? [];
  assert.deepEqual([...new Set(addresses)], ["http://www.w3.org/2000/svg"]);
  const { page, quiet, close } = await open(house.url);
  await page.waitForFunction(() => document.querySelector("#summary").textContent === "There are no checks: every endpoint is open.");
  quiet();
  await close();
});
