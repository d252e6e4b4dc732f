// The document, in small words. Whatever comes from the daemon becomes text or an attribute, never HTML.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) setAttribute(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** An element with attributes and children; a child that is a string is text. */
const element = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for SVG. */
const drawing = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets an attribute where it differs; nothing and false remove it. */
function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/** Sets the text where it differs, so that what has not changed is not drawn again. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Draws anew what stands in `place`; a link that has the focus keeps it, where it is still there. */
function redraw(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  place.replaceChildren(...children);
  if (focused !== null) [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
}

/** The sign of a state; the word beside it says the same. */
function icon(state) {
  const use = drawing("use", { href: `#i-${state}` });
  return drawing("svg", { class: `icon ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, use);
}

function setIcon(svg, state) {
  setAttribute(svg, "class", `icon ${state}`);
  setAttribute(svg.firstChild, "href", `#i-${state}`);
}

/** A state as sign and word. */
const badge = (state) => element("span", { class: `badge ${state}` }, icon(state), element("span", null, state));

function setBadge(node, state) {
  setAttribute(node, "class", `badge ${state}`);
  setIcon(node.firstChild, state);
  setText(node.lastChild, state);
}

/** Where a check has its own view. */
const addressOf = (name) => `#/check/${encodeURIComponent(name)}`;
const linkTo = (name) => element("a", { href: addressOf(name) }, name);

/** Text with links to checks in it: `["behind ", ["a", "b"]]`. */
function linked(names, most = 8) {
  const parts = [];
  names.slice(0, most).forEach((name, place) => {
    if (place > 0) parts.push(place === names.length - 1 ? " and " : ", ");
    parts.push(linkTo(name));
  });
  if (names.length > most) parts.push(` and ${names.length - most} more`);
  return parts;
}

/** A moment: how long ago or since, and when exactly on request. */
function moment(ms, text) {
  return element("time", { datetime: new Date(ms).toISOString(), title: DATE_AND_TIME.format(ms) }, text);
}

function setMoment(node, ms, text) {
  const iso = new Date(ms).toISOString();
  if (node.getAttribute("datetime") !== iso) {
    node.setAttribute("datetime", iso);
    node.setAttribute("title", DATE_AND_TIME.format(ms));
  }
  setText(node, text);
}

/** A link that leaves the page, where it is one that can be followed safely. */
function outward(address, text) {
  let url = null;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  return element("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, text);
}
