// Updates a page to what the server sends now. Three trees are walked side by side: the page, what the server sent
// before, and what it sends now. Only differences between the last two change the page. Everything else is the
// visitor's and stays: open details, ticks, typed text, focus, selected text, scroll, and drawings of other scripts.
const ROWS = new Set(["LI", "TR", "LABEL", "ARTICLE"]);

export function patch(node, before, now) {
  if (before.isEqualNode(now)) return;
  if (now.nodeType !== Node.ELEMENT_NODE) {
    node.data = now.data;
    return;
  }
  patchAttributes(node, before, now);
  if (now.hasAttribute("data-chart")) patchChart(node, before, now);
  else patchChildren(node, before, now);
}

// A chart is drawn by script; only its label comes from the server.
function patchChart(...trees) {
  const plots = trees.map((tree) => tree.querySelector("[data-plot]"));
  if (plots.every(Boolean)) patchAttributes(...plots);
}

function patchAttributes(element, before, now) {
  for (const name of new Set([...before.getAttributeNames(), ...now.getAttributeNames()])) {
    const value = now.getAttribute(name);
    if (value === before.getAttribute(name)) continue;
    if (name === "class") {
      element.classList.remove(...before.classList);
      element.classList.add(...now.classList);
    } else if (value === null) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
}

function patchChildren(element, before, now) {
  const shown = [...element.childNodes], known = [...before.childNodes], wanted = [...now.childNodes];
  if (shown.length !== known.length) {
    element.replaceChildren(...wanted.map((node) => document.importNode(node, true))); // another script changed it
    return;
  }
  const old = new Map(names(known).map((name, at) => [name, at]));
  const made = names(wanted).map((name, at) => {
    const was = old.get(name);
    if (was === undefined) return newNode(wanted[at]);
    old.delete(name);
    patch(shown[was], known[was], wanted[at]);
    return shown[was];
  });
  for (const at of old.values()) shown[at].remove();
  // Nodes in their place are not touched: an element that is inserted again loses focus, scroll and selection.
  let place = element.firstChild;
  for (const node of made) {
    if (node === place) place = place.nextSibling;
    else element.insertBefore(node, place);
  }
}

function newNode(node) {
  const made = document.importNode(node, true);
  if (made.nodeName === "LI" || made.nodeName === "TR") made.classList.add("fresh");
  return made;
}

// Names of nodes among their siblings, by which the same row is found again wherever it is now.
function names(nodes) {
  const counts = new Map();
  return nodes.map((node) => {
    const name = `${node.nodeName} ${node.nodeType === Node.ELEMENT_NODE ? subject(node) : ""}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return `${name} ${count}`;
  });
}

function subject(element) {
  const own = element.dataset.region ?? element.dataset.key ?? element.id;
  if (own || !ROWS.has(element.nodeName)) return own;
  const inside = element.querySelector("[data-key], a[href], input[value]");
  return inside ? inside.dataset.key ?? inside.getAttribute("href") ?? inside.getAttribute("value") : "";
}
