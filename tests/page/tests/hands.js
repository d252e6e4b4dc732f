// The keyboard, the filter, and where they lead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, daemon, open, settled, texts, until } from "../house.js";

const SHOP = `
service: { name: shop }
defaults: { interval: 1s }
checks:
  - { name: database, description: Orders, simulated: { ok_message: Database is connected } }
  - { name: internal_api/user, simulated: {}, depends_on: [database] }
  - { name: internal_api/payment, simulated: { error_rate: 1, error_message: no route }, depends_on: [database], critical: false }
  - { name: external_api/sms, simulated: {} }
`;

const focused = (page) => page.evaluate(() => document.activeElement.getAttribute("href") ?? document.activeElement.id);

test("the keyboard walks through everything", async () => {
  // What fails stands first, which is another test.
  const house = await daemon(SHOP.replace("error_rate: 1", "error_rate: 0"));
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "#content");
  await page.keyboard.press("j");
  assert.equal(await focused(page), "#/check/database");
  await page.keyboard.press("j");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), "#/check/internal_api%2Fpayment");
  await page.keyboard.press("k");
  assert.equal(await focused(page), "#/check/internal_api%2Fuser");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.textContent === "internal_api/user");
  assert.ok(await page.locator("#overview").isHidden());
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement.getAttribute("href") === "#/check/internal_api%2Fuser");
  await page.goBack();
  await page.waitForFunction(() => document.querySelector("#check h1")?.textContent === "internal_api/user");
  await page.goBack();
  await page.waitForFunction(() => !document.querySelector("#overview").hidden);
  await page.keyboard.press("?");
  assert.ok(await page.locator("#help").isVisible());
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#help").isHidden());
  // Only one row is in the order of the tab key.
  assert.equal(await page.locator('tr.check a.name[tabindex="0"]').count(), 1);
  quiet();
  await close();
});

test("the filter shows what matches, and leads into it", async () => {
  const house = await daemon(SHOP);
  const { page, quiet, close } = await open(house.url);
  await settled(page);
  const rows = () => page.$$eval("tr.check", (all) => all.filter((row) => row.offsetParent !== null).map((row) => row.querySelector("a.name").textContent));
  await page.keyboard.press("/");
  await page.keyboard.type("api/ user");
  assert.deepEqual(await rows(), ["internal_api/user"]);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), "#/check/internal_api%2Fuser");
  await page.keyboard.press("Escape");
  assert.equal((await rows()).length, 4);
  await page.waitForFunction(() => document.querySelector('tr.check.error a.name')?.textContent === "internal_api/payment");
  await page.click('#states button[data-state="error"]');
  assert.deepEqual(await rows(), ["internal_api/payment"]);
  await page.click('#states button[data-state="error"]');
  await page.click("tr.group button:has-text('internal_api/')");
  assert.deepEqual(await rows(), ["internal_api/payment", "database", "external_api/sms"]);
  assert.equal(await page.getAttribute("tr.group button", "aria-expanded"), "false");
  quiet();
  await close();
});

test("the theme is chosen, and remembered", async () => {
  const house = await daemon(SHOP);
  const { page, quiet, close } = await open(house.url);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.keyboard.press("t");
  assert.equal(await ground(), light);
  await page.reload();
  assert.equal(await ground(), light);
  quiet();
  await close();
});

test("a check's own view tells its past, its figures and its configuration", async () => {
  const house = await daemon(SHOP);
  const { page, quiet, close } = await open(`${house.url}#/check/database`);
  await page.waitForFunction(() => document.querySelectorAll("#check .runs tbody tr").length > 2);
  const figures = await texts(page, "#check .figures:not(.runs .figures) tbody tr");
  assert.equal(figures.length, 3);
  for (const [place, window] of ["1 h", "24 h", "7 d"].entries()) assert.match(figures[place], new RegExp(`^${window} 100 % .* %`));
  const facts = await texts(page, "#check .facts div");
  assert.ok(facts.includes("Kind simulated") && facts.includes("Interval 1s"), facts.join("; "));
  assert.ok((await texts(page, "#check .facts"))[0].includes("Needed by internal_api/user ok internal_api/payment"));
  assert.match((await texts(page, "#check .runs tbody tr"))[0], /pass .* ms Database is connected$/);
  assert.match(await page.locator("#check .strip").first().getAttribute("aria-label"), /^Last 1 min 30 s: up /);
  await page.click("#check .relation a:has-text('internal_api/user')");
  await page.waitForFunction(() => document.querySelector("#check h1").textContent === "internal_api/user");
  await page.goto(`${house.url}#/check/nobody`);
  await page.waitForFunction(() => document.querySelector("#check h1").textContent === "There is no check called “nobody”.");
  quiet();
  await close();
});

test("of what there was no room for, a check's own view says since when all is kept", async () => {
  const check = (name, interval) => `  - { name: ${name}, simulated: { ok_message: "${"long ".repeat(30)}" }, interval: ${interval} }`;
  const house = await daemon(`history: { max_memory: 4KiB }\nchecks:\n${check("often", "100ms")}\n${check("seldom", "1h")}\n`);
  await until("something is let go", async () => (await ask(house, "v1/services/often")).data.service.data.kept_since);
  const { page, quiet, close } = await open(`${house.url}#/check/often`);
  const note = () => page.locator("#check .runs + .note");
  await page.waitForFunction(() => /^Runs and changes are kept since \d\d:\d\d:\d\d: there was no room for older ones \(history\.max_memory\)\.$/.test(document.querySelector("#check .runs + .note")?.textContent));
  assert.ok(await note().isVisible());
  await page.goto(`${house.url}#/check/seldom`);
  await page.waitForFunction(() => document.querySelector("#check h1").textContent === "seldom" && document.querySelectorAll("#check .runs tbody tr").length > 0);
  assert.ok(await note().isHidden());
  quiet();
  await close();
});
