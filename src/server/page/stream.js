// The live stream. It is read with `fetch` and not with `EventSource`, which hides the comments that the daemon sends
// while nothing happens: without them a connection that is dead without a word would look alive.

/** The daemon breaks its silence every 15 s; after this long nobody is there. */
const SILENCE = 20_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
/** Whatever else is asked: an answer begins within this time, or does not come; a slow line may take longer to its end. */
const LONGEST_WAIT = 10_000;
const LONGEST_ANSWER = 60_000;
/** What may be wrong where a daemon that runs does not answer. */
const FEW_CONNECTIONS = "a browser has six connections to one address, and each page keeps one: close others of this daemon";

/** Where the page is, with a slash at its end: all addresses are below it, whatever prefix a proxy puts before it. */
const HERE = `${location.pathname.replace(/\/+$/, "")}/`;

const link = {
  /** `connecting` before the first answer, then `live` or `lost`. */
  state: "connecting",
  /** When anything was heard last. */
  heard: 0,
  /** When it is given up unless something is heard. */
  deadline: 0,
  /** Why it was lost, where that is known. */
  reason: "",
  /** Whatever else was asked last had no answer in time. */
  isSlow: false,
  pause: FIRST_PAUSE,
  retry: null,
};

/** Follows the stream for as long as the page is open. `told(event, data)` is called for each event. */
async function follow(told, changed) {
  for (;;) {
    const abort = new AbortController();
    link.reason = "";
    link.deadline = Date.now() + SILENCE;
    const watchdog = setInterval(() => {
      if (Date.now() <= link.deadline) return;
      if (link.state !== "live") link.reason = `no answer; ${FEW_CONNECTIONS}`;
      abort.abort();
    }, 1000);
    try {
      await listen(abort.signal, told, changed);
    } catch {
      // What went wrong does not matter: it is lost, and is looked for again.
    }
    clearInterval(watchdog);
    abort.abort();
    link.state = "lost";
    changed();
    await pause();
  }
}

async function listen(signal, told, changed) {
  const headers = { Accept: "text/event-stream" };
  const response = await fetch(`${HERE}v1/stream`, { signal, headers, cache: "no-store" });
  if (!response.ok) {
    link.reason = (await response.text()).slice(0, 200).trim();
    return;
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    link.heard = Date.now();
    link.deadline = link.heard + SILENCE;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const text of events) {
      const { event, data } = parse(text);
      if (!data) continue;
      if (event === "cut") {
        link.reason = data.reason;
        continue;
      }
      told(event, data);
      // Only what is told anew makes the page current again.
      if (event === "snapshot" && link.state !== "live") {
        link.state = "live";
        link.pause = FIRST_PAUSE;
        changed();
      }
    }
  }
}

function parse(text) {
  const found = { event: "message", data: null };
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) found.event = line.slice(7);
    if (line.startsWith("data: ")) found.data = JSON.parse(line.slice(6));
  }
  return found;
}

/** Waits longer each time, but no longer once there is reason to think that it works now. */
async function pause() {
  const length = link.pause * (0.75 + Math.random() / 2);
  link.pause = Math.min(link.pause * 2, LONGEST_PAUSE);
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, length);
    link.retry = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  link.retry = null;
}

/** Tries again at once. */
function reconnect() {
  if (link.state !== "live") link.retry?.();
}

/** Whatever else is asked: the JSON below the page, or nothing. */
async function ask(path) {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), LONGEST_WAIT);
  try {
    const response = await fetch(`${HERE}${path}`, { signal: abort.signal, headers: { Accept: "application/json" }, cache: "no-store" });
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), LONGEST_ANSWER);
    const data = response.ok ? (await response.json()).data : null;
    link.isSlow = false;
    return data;
  } catch {
    link.isSlow = abort.signal.aborted;
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** All checks with their past, page by page, and how kubelet asks. */
async function askForHistory() {
  const services = [];
  let kubelet = [];
  let query = "?include=history&limit=500";
  while (query) {
    const data = await ask(`v1/services${query}`);
    if (!data) return null;
    services.push(...data.services.data);
    kubelet = data.services.kubelet ?? [];
    query = data.services.next && new URL(data.services.next, location.href).search;
  }
  return { services, kubelet };
}
