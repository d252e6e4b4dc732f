// What the top of the page says of the whole, and of each cause: never that all is well while something is closed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, daemon, open, scripted, settled, target, texts, transition, until } from "../house.js";

/** Waits until the texts of what `selector` finds match, and returns them. */
const reads = (page, selector, pattern) =>
  until(`${selector} reads ${pattern}`, async () => {
    const all = await texts(page, selector);
    return all.some((text) => pattern.test(text)) && all;
  });

test("a run that fails closes /readyz before the check is `error`, and nothing says that all is well", async () => {
  const app = await target();
  const house = await daemon(`
service: { name: shop }
defaults: { interval: 200ms, timeout: 5s }
checks:
  - { name: cache, simulated: {} }
  - { name: app, http: { url: "${app.url}" }, gates: [live, ready], failure_threshold: 100000 }
  - { name: mail, http: { url: "${app.url}" }, critical: false, failure_threshold: 100000 }
`);
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await reads(page, "#summary", /^All 3 checks pass\.$/);
  app.status = 500;
  await reads(page, "#headline", /^shop is not ready$/);
  await reads(page, "#summary", /^\/readyz is closed\. All 3 checks are ok, but the last runs of app and mail failed\.$/);
  assert.match(await page.title(), /^✕ shop is not ready · shop-0$/);
  assert.match(await page.locator("link[rel=icon]").getAttribute("href"), /cc2f37/);
  assert.match((await texts(page, "#causes .cause.error"))[0], /^Root cause: app: returned status 500 \(failure \d+ of 100000\) ok for .*, but its last run failed\.$/);
  assert.equal(await page.locator("#announce").textContent(), "shop is not ready. Root cause: app.");
  assert.match((await texts(page, "tr.check"))[0], /^ok app http .* returned status 500 \(failure \d+ of 100000\)$/);
  assert.ok(await page.locator("tr.check").first().evaluate((row) => row.classList.contains("closes")));
  app.status = 200;
  await reads(page, "#summary", /^All 3 checks pass\.$/);
  assert.ok(await page.locator("#causes").isHidden());
  assert.equal(await page.locator("tr.check.closes").count(), 0);
  quiet();
  await close();
});

test("the card of a cause says what its last run said, also where it passes and does not count yet", async () => {
  const database = await target();
  const house = await daemon(`
service: { name: shop }
defaults: { interval: 200ms, timeout: 5s }
checks:
  - { name: db, http: { url: "${database.url}" }, success_threshold: 100000 }
  - { name: api, simulated: {}, depends_on: [db] }
`);
  database.status = 500;
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await reads(page, "#causes .cause", /^Root cause: db: returned status 500 failing for/);
  database.status = 404;
  await reads(page, "#causes .cause", /^Root cause: db: returned status 404 failing for/);
  database.status = 200;
  await reads(page, "#causes .cause", /^Root cause: db: passes again, which does not count yet: db OK \(.*\) \(pass \d+ of 100000\) failing for/);
  await page.click('a.name[href="#/check/db"]');
  await reads(page, "#check .about .message", /^passes again, which does not count yet: db OK/);
  quiet();
  await close();
});

test("what is stale is as old as it is, and is not said to fail", async () => {
  const house = await daemon("service: { name: shop }\nchecks: [{ name: db, simulated: {}, critical: false, interval: 1h }]");
  await until("it has run", async () => (await ask(house, "healthz?format=json")).checks[0].state === "ok");
  const { page, say, snapshot, quiet, close } = await scripted(house);
  await settled(page);
  const stale = { ...snapshot.checks[0], state: "stale", age_ms: 4000, message: "last result 4s ago; no verdict since: no local port was left for the run" };
  await say("snapshot", { ...snapshot, checks: [stale] });
  const [line] = await reads(page, "#causes", /^Is stale, but closes nothing, and nothing waits behind it: db: last result \d+ s ago; no verdict since: no local port was left for the run$/);
  const age = (text) => Number(/last result (\d+) s ago/.exec(text)[1]);
  await until("the line goes on", async () => age((await texts(page, "#causes"))[0]) > age(line) + 1);
  await until("the row goes on", async () => age((await texts(page, "tr.check .message"))[0]) > age(line) + 1);
  await page.click('a.name[href="#/check/db"]');
  const [message] = await texts(page, "#check .about .message");
  await until("the view goes on", async () => age((await texts(page, "#check .about .message"))[0]) > age(message));
  quiet();
  await close();
});

test("what has no result yet is not said to fail", async () => {
  const house = await daemon("service: { name: shop }\nchecks: [{ name: cache, simulated: {} }, { name: db, simulated: {}, initial_delay: 1h }]");
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await reads(page, "#summary", /^Of 2 checks 1 has no verdict yet and 1 passes\.$/);
  assert.deepEqual(await texts(page, "#headline"), ["shop is waiting for results"]);
  assert.match(await page.title(), /^… shop is waiting for results/);
  assert.equal((await texts(page, "#gates .gate"))[3], "/healthz closed something critical has no verdict yet: db");
  assert.match((await texts(page, "#causes .cause.pending"))[0], /^Root cause: db: no result yet pending for \d+ .*\.$/);
  assert.match((await texts(page, "tr.check"))[0], /^pending db /);
  quiet();
  await close();
});

test("a drain without a check is no open endpoint", async () => {
  const house = await daemon("checks: []");
  const { page, quiet, close } = await open(house.url);
  await page.waitForSelector('body[data-connection="live"]');
  await fetch(new URL("-/drain", house.url), { method: "POST" });
  await reads(page, "#summary", /^No new traffic is wanted: \/readyz and \/healthz are closed\. There are no checks\.$/);
  quiet();
  await close();
});

test("a workflow that is skipped shows no steps of the run before", async () => {
  const [database, shop] = [await target(), await target()];
  const house = await daemon(`
defaults: { interval: 200ms, timeout: 5s }
checks:
  - { name: db, http: { url: "${database.url}" } }
  - { name: order, depends_on: [db], workflow: { steps: [{ name: login, http: { url: "${shop.url}" } }] } }
`);
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await page.waitForSelector(".stage.ok");
  database.status = 500;
  await page.waitForSelector("tr.check.skipped");
  await reads(page, "tr.check.skipped", /^skipped order workflow .* – waits for db$/);
  assert.equal(await page.locator(".stage").count(), 0);
  quiet();
  await close();
});

const CHAIN = `
service: { name: shop }
checks:
  - { name: app, simulated: {}, depends_on: [api], interval: 1h }
  - { name: api, simulated: {}, depends_on: [db], interval: 1h }
  - { name: db, simulated: {}, interval: 1h }
`;

async function chain(path) {
  const house = await daemon(CHAIN);
  await until("all have run", async () => (await ask(house, "healthz?format=json")).checks.every((check) => check.state === "ok"));
  return scripted(house, path);
}

test("a skip is explained by what failed with it, wherever that stands in the file", async () => {
  const { page, say, quiet, close } = await chain();
  await settled(page);
  await say([transition("app", "ok", "skipped", "Skipped due to upstream failure"), transition("api", "ok", "skipped", "Skipped due to upstream failure"), transition("db", "ok", "error", "connection refused")]);
  await reads(page, "#timeline .entry", /api and app skipped: waits for db$/);
  quiet();
  await close();
});

test("a check's own view tells what comes to wait behind it, and nothing once the check is gone", async () => {
  const { page, say, snapshot, quiet, close } = await chain("#/check/db");
  await page.waitForFunction(() => document.querySelectorAll("#check .runs tbody tr").length > 0);
  await say([transition("db", "ok", "error", "connection refused")]);
  await page.waitForSelector("#check .now .badge.error");
  await say([transition("api", "ok", "skipped", "Skipped due to upstream failure")]);
  await reads(page, "#check .about", /connection refused Behind it: api is skipped\.$/);
  await say("snapshot", { ...snapshot, checks: [{ ...snapshot.checks[0], depends_on: [] }] });
  await reads(page, "#check h1", /^There is no check called “db”\.$/);
  assert.deepEqual(await texts(page, "#check"), ["← All checks There is no check called “db”."]);
  quiet();
  await close();
});
