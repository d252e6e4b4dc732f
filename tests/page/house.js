// What the tests need around the page: the real daemon, targets that pass and fail on command, a proxy that puts a
// prefix before its paths, and a browser that reports everything it should not have said or asked for.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { chromium } from "playwright-core";

/** Nothing that a test waits for takes longer on a busy machine. */
export const PATIENCE = 60_000;

const PROBELET = resolve(process.env.PROBELET ?? join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../../target/debug/probelet"));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Everything that has to be ended, whatever became of the test. */
const endings = [];
after(async () => {
  for (const end of endings.reverse()) await end().catch(() => {});
});

/** Starts the daemon with this configuration; it ends with the tests. */
export async function daemon(config, listen = "127.0.0.1:0") {
  const folder = await mkdtemp(join(tmpdir(), "probelet-page-"));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "config.yaml");
  await writeFile(file, config);
  const env = { ...process.env };
  for (const inherited of ["RUST_LOG", "POD_NAME", "POD_UID", "POD_IP"]) delete env[inherited];
  env.POD_NAME = "shop-0";
  const child = spawn(PROBELET, ["run", "--config", file, "--listen", listen], { env, stdio: ["ignore", "ignore", "pipe"] });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  endings.push(kill);
  const log = [];
  const address = await new Promise((found, failed) => {
    child.on("error", failed);
    child.on("exit", () => failed(new Error(`the daemon ended: ${log.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      if (log.length > 1000) log.shift();
      const event = line.startsWith("{") ? JSON.parse(line) : {};
      if (event.message === "listening") found(event.address);
    });
  });
  return { url: `http://${address}/`, address, kill, file, log };
}

/** A target that passes or fails as it is told, and says what it is told. */
export async function target() {
  const state = { status: 200, body: "ok" };
  const server = http.createServer((request, response) => {
    response.writeHead(state.status, { "Content-Type": "text/plain" });
    response.end(state.body);
  });
  const port = await listening(server);
  return Object.assign(state, { port, url: `http://127.0.0.1:${port}/` });
}

/**
 * A proxy that takes `prefix` off each path; `to` may be changed to another daemon while it runs, and after `freeze`
 * nothing comes through it any more, nor ends.
 */
export async function proxy(prefix, to) {
  const state = { to, frozen: false };
  const answers = new Set();
  state.freeze = () => {
    state.frozen = true;
    for (const answer of answers) answer.unpipe();
  };
  const server = http.createServer((request, response) => {
    if (request.url !== prefix && !request.url.startsWith(`${prefix}/`)) {
      response.writeHead(404).end();
      return;
    }
    if (state.frozen) return;
    const upstream = new URL(state.to.url);
    const path = request.url.slice(prefix.length) || "/";
    const onward = http.request({ host: upstream.hostname, port: upstream.port, path, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.on("error", () => response.destroy());
      answers.add(answer);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  const port = await listening(server);
  return Object.assign(state, { origin: `http://127.0.0.1:${port}` });
}

async function listening(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  endings.push(async () => {
    server.closeAllConnections?.();
    server.close();
  });
  return server.address().port;
}

/** What the daemon answers, as JSON. */
export async function ask(daemon, path) {
  const response = await fetch(new URL(path, daemon.url));
  return response.json();
}

/** Waits until `condition` returns something that is true, and returns it. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(Date.now() < end, `still waiting until ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

let browser = null;

async function browse() {
  if (browser) return browser;
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args, timeout: PATIENCE });
  endings.push(() => browser.close());
  return browser;
}

/**
 * Opens the page at `url` in a browser of its own. `trouble` is everything that went wrong in it: lines on the console,
 * errors, and requests to anywhere else; `quiet` asserts that there is none.
 */
export async function open(url, { clock = false, ...options } = {}) {
  const context = await (await browse()).newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  if (clock) await page.clock.install();
  const trouble = [];
  page.on("console", (message) => {
    // The page itself, the one path that ends so, has the code of /readyz: while that is closed the browser says so.
    const at = message.location().url;
    if (message.text().includes("status of 503") && at.endsWith("/")) return;
    if (["error", "warning"].includes(message.type())) trouble.push(`console: ${message.text()} ${message.location().url}`.trim());
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.stack}`));
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== "data:" && !url.startsWith("about:") && origin !== new URL(url).origin) trouble.push(`request: ${request.url()}`);
  });
  page.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  endings.push(() => context.close());
  await page.goto(url);
  const quiet = () => assert.deepEqual(trouble, []);
  return { page, context, trouble, quiet, close: () => context.close() };
}

/**
 * Opens the page of `daemon` with its stream in the hand of the test: it begins with what the daemon knows, and goes on with
 * what is given to `say(event, data)`, or `say([[event, data], …])` for what comes at once. `snapshot` is how it began;
 * `route` is what is done with other requests.
 */
export async function scripted(daemon, path = "", { route, ...options } = {}) {
  const { page, context, ...rest } = await open("about:blank", options);
  if (route) await page.route(...route);
  const snapshot = await ask(daemon, "healthz?format=json");
  await context.addInitScript((snapshot) => {
    const really = window.fetch;
    const encoder = new TextEncoder();
    window.fetch = async (address, options) => {
      if (!String(address).endsWith("v1/stream")) return really(address, options);
      const body = new ReadableStream({
        start(stream) {
          const tell = (text) => stream.enqueue(encoder.encode(text));
          window.say = (events) => tell(events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join(""));
          setInterval(() => tell(": \n\n"), 3000);
          window.say([["snapshot", snapshot]]);
        },
      });
      return new Response(body);
    };
  }, snapshot);
  await page.goto(daemon.url + path);
  await page.waitForSelector('body[data-connection="live"]');
  const say = (events, data) => page.evaluate((events) => window.say(events), typeof events === "string" ? [[events, data]] : events);
  return { page, context, say, snapshot, ...rest };
}

/** What the stream tells when a check goes to another state now, and how the endpoints stand from then on. */
export const transition = (name, from, to, message, endpoints) =>
  ["transition", { name, created_at: Math.floor(Date.now() / 1000), from, to, status: "error", message, endpoints }];

/** Waits until the page is live and shows the past of its checks. */
export async function settled(page) {
  await page.waitForSelector('body[data-connection="live"]');
  // Charts are drawn where they can be seen.
  await page.waitForSelector("tr.check");
  await page.evaluate(() => document.querySelector("tr.check").scrollIntoView());
  await page.waitForFunction(() => document.querySelector("tr.check .strip .bars[d]") !== null);
  await page.evaluate(() => scrollTo(0, 0));
}

/** The text of what `selector` finds, in the order of the page, white space made single. */
export const texts = (page, selector) =>
  page.$$eval(selector, (nodes) => nodes.map((node) => node.innerText.replace(/\s+/g, " ").trim()));
