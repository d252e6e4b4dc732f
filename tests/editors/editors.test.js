// What an editor says of a configuration: mistakes at their lines, what may come next, and what a key means.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { LanguageServer } from "./language_server.js";

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), "files");
const HEAD = "# yaml-language-server: $schema=../../../config/schema.json\n";
let server;
let files = 0;

before(async () => (server = await LanguageServer.start()));
after(() => server.stop());

// Opens a text in which `|` is the cursor.
async function at(text) {
  const [ahead, behind] = (HEAD + text).split("|");
  const lines = ahead.split("\n");
  const { uri } = await server.open(join(FOLDER, `opened-${files++}.yaml`), ahead + behind);
  return [uri, { line: lines.length - 1, character: lines.at(-1).length }];
}

async function offered(text) {
  const items = await server.complete(...(await at(text)));
  return items.map((item) => item.label);
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"))) {
  test(`${file} has each mistake at its line, and no other`, async () => {
    const path = join(FOLDER, file);
    const text = readFileSync(path, "utf8");
    const { diagnostics } = await server.open(path, text);
    const found = diagnostics.map(({ range, message }) => `${range.start.line + 1}: ${message}`);
    const expected = text.split("\n").flatMap((line, index) => {
      const wrong = line.split(" # wrong: ")[1];
      return wrong ? [`${index + 1}: ${wrong}`] : [];
    });
    const kinds = (message) => message.replace(/exactly one of [a-z, ]+/, "exactly one of *");
    const byLine = (left, right) => parseInt(left) - parseInt(right);
    assert.deepEqual(found.map(kinds).sort(byLine), expected);
  });
}

test("the examples have nothing to report", async () => {
  for (const folder of ["../../../config/examples", "../../../config/examples/apps"]) {
    for (const file of readdirSync(join(FOLDER, folder)).filter((name) => name.endsWith(".yaml"))) {
      const path = join(FOLDER, folder, file);
      const { diagnostics } = await server.open(path, readFileSync(path, "utf8"));
      assert.deepEqual(diagnostics.map((found) => found.message), [], file);
    }
  }
});

test("the sections of the file are offered", async () => {
  assert.deepEqual((await offered("|")).slice(0, 3), ["service", "server", "defaults"]);
});

test("a check is offered its keys and kinds, and the section of a kind with what it needs", async () => {
  const text = "checks:\n  - name: app\n    |";
  const items = await server.complete(...(await at(text)));
  const labels = items.map((item) => item.label);
  for (const key of ["interval", "critical", "gates", "depends_on", "http", "postgres", "workflow"]) {
    assert.ok(labels.includes(key), `${key} is offered`);
  }
  assert.ok(labels.every((label) => /^[a-z_]+$/.test(label)), `nothing but keys: ${labels}`);
  const http = items.find((item) => item.label === "http");
  assert.equal(http.insertText, "http:\n  url: ");
  assert.match(http.documentation.value ?? http.documentation, /One HTTP request/);
});

test("words are offered as values, and nothing else", async () => {
  const values = async (text) => (await offered(text)).sort();
  assert.deepEqual(await values("checks:\n  - name: a\n    critical: |"), ["at_startup", "false", "true"]);
  assert.deepEqual(await values("checks:\n  - name: a\n    gates:\n      - |"), ["live", "ready", "startup"]);
  assert.deepEqual(await values("server:\n  details: |"), ["full", "names", "none"]);
  assert.deepEqual(await values("checks:\n  - name: a\n    http:\n      redirects: |"), ["any", "same_host"]);
});

test("a duration is offered as it is written", async () => {
  assert.deepEqual(await offered("checks:\n  - name: a\n    interval: |"), ["10s", "1m30s"]);
});

test("the words of a matcher are offered where a value is expected", async () => {
  const labels = await offered("checks:\n  - name: a\n    http:\n      expect:\n        json:\n          /a:\n            |");
  for (const word of ["equals", "not", "above", "one_of", "exists", "length"]) assert.ok(labels.includes(word), word);
});

test("a key tells what it means", async () => {
  const told = async (text) => (await server.hover(...(await at(text)))).replaceAll("\\", "");
  assert.match(await told("checks:\n  - name: a\n    cri|tical: true\n"), /`at_startup` closes them until/);
  assert.match(await told('checks:\n  - name: a\n    http: { u|rl: "http://a" }\n'), /Where the request goes/);
  assert.match(
    await told('checks:\n  - name: a\n    http: { url: "http://a", expect: { json: { /a: { ab|ove: 5 } } } }\n'),
    /a number above this one/,
  );
  assert.match(await told("ser|ver: {}\n"), /Its own port/);
});
