// The dependency graph: layers from left to right, what others depend on first. What fails, and the way it spreads, is
// told by thick and dashed lines as well as by colour.

const NODE = { width: 192, height: 36, gapX: 48, gapY: 12 };
/** So many letters fit into a node, in the large and in the small line. */
const LETTERS = { name: 21, prefix: 26 };

const picture = { shape: -1, nodes: new Map(), edges: [] };

function drawGraph() {
  if (picture.shape !== store.shape) buildGraph();
  for (const [name, node] of picture.nodes) {
    const check = store.checks.get(name);
    const state = check && `${check.state}${isFailing(check) && check.isMild ? " mild" : ""}`;
    if (!check || node.state === state) continue;
    node.state = state;
    setAttribute(node.group, "class", `node ${state}`);
    setAttribute(node.use, "href", `#i-${check.state}`);
    setAttribute(node.use, "class", `icon ${check.state}`);
    setAttribute(node.group, "aria-label", `${name}, ${check.state}`);
  }
  for (const edge of picture.edges) {
    const [parent, child] = [store.checks.get(edge.parent), store.checks.get(edge.child)];
    const spreads = child.state === "skipped" && (isFailing(parent) || parent.state === "skipped");
    setAttribute(edge.path, "class", `edge${spreads ? " spreads" : ""}`);
  }
}

function buildGraph() {
  picture.shape = store.shape;
  const linkedOnes = [...store.checks.values()].filter((check) => check.parents.length + check.children.length > 0);
  byId("graph-section").hidden = linkedOnes.length === 0;
  const places = placesOf(layersOf(linkedOnes));
  picture.edges = linkedOnes.flatMap((child) => child.parents.map((parent) => makeEdge(parent, child.name, places)));
  picture.nodes = new Map([...places].map(([name, place]) => [name, makeNode(name, place)]));
  const right = Math.max(0, ...[...places.values()].map((place) => place.x)) + NODE.width;
  const bottom = Math.max(0, ...[...places.values()].map((place) => place.y)) + NODE.height;
  const [width, height] = [right + 8, bottom + 8];
  const svg = drawing("svg", { viewBox: `-4 -4 ${width} ${height}`, width, height, role: "group", "aria-label": "Which check depends on which" },
    ...picture.edges.map((edge) => edge.path), ...[...picture.nodes.values()].map((node) => node.group));
  byId("graph").replaceChildren(svg);
}

/**
 * Each check one layer behind the last of its parents, and what depends on nothing just before what depends on it;
 * within a layer near its parents, so that few lines cross.
 */
function layersOf(checks) {
  const depths = new Map();
  const depth = (name) => {
    if (!depths.has(name)) {
      depths.set(name, 0);
      depths.set(name, Math.max(-1, ...store.checks.get(name).parents.map(depth)) + 1);
    }
    return depths.get(name);
  };
  const layers = [];
  for (const check of checks) {
    const isRoot = check.parents.length === 0;
    const layer = isRoot ? Math.min(...check.children.map(depth)) - 1 : depth(check.name);
    (layers[layer] ??= []).push(check.name);
  }
  const mean = (names, order) => names.reduce((sum, name) => sum + order.get(name), 0) / names.length;
  for (let round = 0; round < 4; round += 1) {
    const forward = round % 2 === 0;
    const order = new Map();
    for (const layer of forward ? layers : [...layers].reverse()) {
      const wishes = new Map(layer.map((name, place) => {
        const check = store.checks.get(name);
        const known = (forward ? check.parents : check.children).filter((other) => order.has(other));
        return [name, known.length > 0 ? mean(known, order) : place];
      }));
      layer.sort((a, b) => wishes.get(a) - wishes.get(b));
      layer.forEach((name, place) => order.set(name, place - (layer.length - 1) / 2));
    }
  }
  return layers;
}

function placesOf(layers) {
  const most = Math.max(1, ...layers.map((layer) => layer.length));
  const places = new Map();
  layers.forEach((layer, column) => {
    layer.forEach((name, place) => {
      const row = place + (most - layer.length) / 2;
      places.set(name, { x: column * (NODE.width + NODE.gapX), y: row * (NODE.height + NODE.gapY) });
    });
  });
  return places;
}

function makeEdge(parent, child, places) {
  const [from, to] = [places.get(parent), places.get(child)];
  const [x1, y1] = [from.x + NODE.width, from.y + NODE.height / 2];
  const [x2, y2] = [to.x, to.y + NODE.height / 2];
  const bend = (x2 - x1) / 2;
  return { parent, child, path: drawing("path", { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` }) };
}

function makeNode(name, { x, y }) {
  const use = drawing("use", { href: "#i-pending", x: 10, y: 10, width: 16, height: 16 });
  // A name that is too long has its prefix in a line of its own; the end that is cut off is in the title.
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const isSplit = name.length > LETTERS.name && name.includes("/");
  const [prefix, rest] = isSplit ? [name.slice(0, name.lastIndexOf("/") + 1), name.slice(name.lastIndexOf("/") + 1)] : ["", name];
  const group = drawing("a", { href: addressOf(name), transform: `translate(${x} ${y})`, class: "node" },
    drawing("title", null, name),
    drawing("rect", { width: NODE.width, height: NODE.height, rx: 7 }), use,
    isSplit ? drawing("text", { x: 34, y: 14, class: "prefix" }, cut(prefix, LETTERS.prefix)) : null,
    drawing("text", { x: 34, y: isSplit ? 28 : 22.5 }, cut(rest, LETTERS.name)));
  return { group, use, state: null };
}
