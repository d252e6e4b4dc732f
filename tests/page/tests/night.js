// What somebody on call looks for at three in the morning: which pod, what is wrong first, why, since when, how long until
// kubelet acts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { daemon, open, settled, target, texts, until } from "../house.js";

const night = (database) => `
service: { name: shop }
defaults: { interval: 200ms, timeout: 5s }
checks:
  - { name: app, simulated: {}, depends_on: [storage/database], gates: [live, ready], interval: 200ms }
  - { name: reports, simulated: {}, depends_on: [internal_api/payment], critical: false }
  - { name: cache, simulated: { error_rate: 1, error_message: no room }, critical: false }
  - { name: internal_api/payment, simulated: { error_rate: 1, error_message: no route }, critical: false }
  - { name: storage/database, http: { url: "${database.url}" } }
  - { name: storage/a-name-that-is-much-too-long-for-a-node, simulated: {}, depends_on: [storage/database] }
  - { name: legacy, disabled: waits for the new cluster, postgres: { url: "\${LEGACY_URL}" } }
`;

const namesOf = (page) => page.$$eval("tr.check a.name", (all) => all.map((link) => link.textContent));

test("what closes traffic stands first, and what does not looks otherwise", async () => {
  const database = await target();
  const house = await daemon(night(database));
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  assert.equal(await page.locator("#instance").textContent(), "shop-0");
  await page.waitForFunction(() => document.querySelector("#headline").textContent.trim() === "shop is degraded");
  // Nothing is red while only what is not critical fails.
  await page.waitForFunction(() => document.querySelectorAll("tr.check.error.mild").length === 2);
  assert.match((await texts(page, "#causes .cause.mild"))[0], /^Root cause: internal_api\/payment: no route failing for .*\. Behind it: reports is skipped\. It closes no endpoint\.$/);
  assert.deepEqual(await texts(page, "#causes .alone"), ["Fails, but closes nothing, and nothing waits behind it: cache: no room"]);
  database.status = 500;
  await page.waitForFunction(() => document.querySelector("#headline").textContent.trim() === "shop is failing");
  await page.waitForFunction(() => document.querySelector("#causes .cause").textContent.includes("storage/database"));
  assert.deepEqual((await namesOf(page)).slice(0, 3), ["storage/database", "internal_api/payment", "cache"]);
  assert.equal(await page.locator("tr.check.error:not(.mild)").count(), 1);
  assert.deepEqual((await texts(page, "#gates .gate"))[1], "/readyz closed not ready for traffic: storage/database");
  // For whom a check waits stands in its row.
  await page.waitForFunction(() => [...document.querySelectorAll("tr.check.skipped .message")].some((message) => message.textContent === "waits for storage/database"));
  // A group that is folded hides what is well, and nothing that fails.
  await page.click("tr.group button:has-text('storage/')");
  assert.ok(await page.locator('a.name[href="#/check/storage%2Fdatabase"]').isVisible());
  assert.deepEqual(await texts(page, "tr.check.off"), ["off legacy postgres switched off: waits for the new cluster"]);
  assert.deepEqual(await page.$$eval("#graph text.prefix", (all) => all.map((text) => text.textContent)), ["storage/"]);
  assert.match(await page.locator('tr.check.error .uptime').first().textContent(), /^\d.* % up$/);
  quiet();
  await close();
});

test("where every check is switched off, that is said, and each with its reason", async () => {
  const house = await daemon("checks: [{ name: legacy, disabled: it moves, simulated: {} }]");
  const { page, quiet, close } = await open(house.url);
  await page.waitForFunction(() => document.querySelector("#summary").textContent === "Every check is switched off: every endpoint is open.");
  await page.waitForSelector("tr.check.off", { state: "visible" });
  assert.deepEqual(await texts(page, "tr.check.off"), ["off legacy simulated switched off: it moves"]);
  quiet();
  await close();
});

test("the reason stands beside each change, also after the page was loaded anew", async () => {
  const database = await target();
  const house = await daemon(night(database));
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  database.status = 500;
  await page.waitForFunction(() => document.querySelector('tr.check.skipped a[href="#/check/app"]'));
  database.status = 200;
  await page.waitForFunction(() => document.querySelector('tr.check.ok a[href="#/check/app"]'));
  for (const again of [false, true]) {
    if (again) {
      await page.reload();
      await settled(page);
    }
    await page.waitForFunction(() => document.querySelectorAll("#timeline .entry").length > 3);
    const entries = await until("the time line has its reasons", async () => {
      const entries = (await texts(page, "#timeline .entry")).map((entry) => entry.replace(/^\S+ /, ""));
      return entries.some((entry) => entry.includes("storage/database error: returned status 500")) && entries;
    });
    const has = (pattern) => assert.ok(entries.some((entry) => pattern.test(entry)), `${again} ${pattern}: ${entries.join(" | ")}`);
    has(/app.* skipped: waits for storage\/database$/);
    has(/storage\/database ok after .* failing: storage\/database OK \(.*\)$/);
    assert.ok(!entries.some((entry) => entry.includes("unknown")), entries.join(" | "));
  }
  quiet();
  await close();
});

test("what happened several times in one second is there each time", async () => {
  const database = await target();
  const house = await daemon(night(database));
  const { page, quiet, close } = await open("about:blank");
  const happened = (at, from, to) => ({ at, from, to, lasted_ms: 100, message: `${to} at ${at}` });
  // It failed and recovered in the second in which it began, and did so again.
  const second = Math.floor(Date.now() / 1000) - 10;
  const told = [
    happened(second + 0.1, "pending", "ok"),
    happened(second + 0.3, "ok", "error"),
    happened(second + 0.5, "error", "ok"),
    happened(second + 0.7, "ok", "error"),
    happened(second + 0.9, "error", "ok"),
  ];
  await page.route("**/v1/services?include=history*", async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    const services = answer.data?.services.data ?? [];
    for (const service of services) service.transitions = service.name === "storage/database" ? told : [];
    await route.fulfill({ response, json: answer });
  });
  await page.goto(house.url);
  const entries = await until("the time line has them", async () => {
    const entries = (await texts(page, "#timeline .entry")).filter((entry) => / at \d/.test(entry));
    return entries.length > 0 && entries.map((entry) => entry.replace(/^.* storage\/database /, "").replace(/\d+\./, "."));
  });
  assert.deepEqual(entries, ["ok after less than 1 s failing: ok at .9", "error: error at .7", "ok after less than 1 s failing: ok at .5", "error: error at .3", "ok: ok at .1"]);
  quiet();
  await close();
});

test("a bar says what it stands for", async () => {
  const house = await daemon(night(await target()));
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  const strip = page.locator('tr.check:has(a[href="#/check/cache"]) .strip');
  await page.waitForFunction(() => document.querySelector('tr.check a[href="#/check/cache"]').closest("tr").querySelector(".bars.down").getAttribute("d"));
  const box = await strip.boundingBox();
  await page.mouse.move(box.x + box.width - 8, box.y + 10);
  await page.waitForFunction(() => /, 200 ms: |, 0 s: |: down/.test(document.querySelector("#tip").textContent));
  assert.ok(await page.locator("#tip").isVisible());
  await page.mouse.move(5, 5);
  assert.ok(await page.locator("#tip").isHidden());
  quiet();
  await close();
});

test("it is told how long until kubelet acts, once it is known how kubelet asks", async () => {
  const database = await target();
  const house = await daemon(night(database));
  // Kubelet asks four times, as regularly as a busy machine lets it.
  const asks = async () => {
    for (let ask = 0; ask < 4; ask += 1) {
      await fetch(new URL("readyz", house.url), { headers: { "User-Agent": "kube-probe/1.34" } });
      await new Promise((done) => setTimeout(done, 1000));
    }
  };
  const known = async () => {
    const { data } = await (await fetch(new URL("v1/services?include=history", house.url))).json();
    return data.services.kubelet.find((asked) => asked.endpoint === "readyz");
  };
  database.status = 500;
  await until("it is known how kubelet asks", async () => {
    await asks();
    return known();
  });
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await page.waitForFunction(() => /^kubelet asks every .*(its third failure comes in .*; by default that|three failures or more; by default the third) takes the pod out of traffic$/.test(document.querySelector('.kubelet[data-endpoint="readyz"]').textContent));
  assert.equal(await page.locator('.kubelet[data-endpoint="livez"]').textContent(), "");
  quiet();
  await close();
});
