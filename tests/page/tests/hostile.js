// What comes from elsewhere is text, whatever it looks like; and what may not be told is not shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { daemon, open, settled, texts } from "../house.js";

const EVIL = "<img src=x onerror=alert(1)></script><b>bold</b>";

test("hostile words stay words", async () => {
  const house = await daemon(`
service: { name: "${EVIL}", version: "${EVIL}" }
defaults: { interval: 500ms }
checks:
  - { name: a.b/c-d_e, description: "${EVIL}", simulated: { error_rate: 1, error_message: "${EVIL}" } }
  - { name: a.b/__proto__, simulated: { ok_message: "${EVIL}" }, depends_on: [] }
  - { name: constructor, simulated: {}, depends_on: [a.b/__proto__] }
`);
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await page.waitForSelector("tr.check.error");
  assert.equal(await page.locator("img, b:not(.entry b), main script").count(), 0);
  assert.ok((await page.locator("#headline").textContent()).includes(EVIL));
  assert.ok((await page.title()).includes(EVIL));
  assert.ok((await texts(page, "tr.check .message")).includes(EVIL));
  assert.ok((await texts(page, "#causes"))[0].includes(EVIL));
  await page.goto(`${house.url}#/check/${encodeURIComponent("a.b/c-d_e")}`);
  await page.waitForFunction(() => document.querySelectorAll("#check .runs tbody tr").length > 1);
  assert.equal(await page.locator("#check img").count(), 0);
  assert.equal(await page.locator("#check .description").textContent(), EVIL);
  // What stands behind the number sign is the visitor's own, and no better.
  await page.goto(`${house.url}#/check/${encodeURIComponent(EVIL)}`);
  await page.waitForFunction(() => document.querySelector("#check h1").textContent.startsWith("There is no check called"));
  await page.goto(`${house.url}#/check/%E0%A4%A`);
  await page.waitForFunction(() => !document.querySelector("#overview").hidden);
  quiet();
  await close();
});

const told = (details) => `
service: { name: shop }
server: { details: ${details} }
defaults: { interval: 500ms }
checks:
  - { name: database, description: Orders, runbook: "https://runbooks.example.com/db", simulated: { error_rate: 1, error_message: secret words } }
  - { name: app, simulated: {}, depends_on: [database] }
`;

test("with `details: names` there are names and states, and no message", async () => {
  const house = await daemon(told("names"));
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await page.waitForSelector("tr.check.error");
  await page.waitForSelector("tr.check.skipped");
  assert.deepEqual(await texts(page, "tr.check .message"), ["", "waits for database"]);
  assert.match((await texts(page, "#causes"))[0], /^Root cause: database: error failing for/);
  assert.match((await texts(page, "footer"))[0], /messages are withheld/);
  await page.goto(`${house.url}#/check/database`);
  await page.waitForFunction(() => document.querySelectorAll("#check .runs tbody tr").length > 1);
  const text = await page.locator("body").innerText();
  assert.ok(!/secret words|withheld(?! \(server)|Orders|Runbook/.test(text), text);
  quiet();
  await close();
});

test("with `details: none` there is no page", async () => {
  const house = await daemon(told("none"));
  const response = await fetch(house.url, { headers: { Accept: "text/html" } });
  assert.equal(response.status, 404);
  assert.ok(!(await response.text()).includes("<"));
});
