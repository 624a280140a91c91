// Brings a page up to what the server says now. Three trees are walked side by side: the page as it is, what the server
// said before, and what it says now. Only where the last two differ the page changes; all else is the visitor's and
// stays: open folds, ticks, typed text, focus, selected text, scroll, and what other scripts have drawn.
const ROWS = new Set(["LI", "TR", "LABEL", "ARTICLE"]);

export function patch(node, before, now) {
  if (before.isEqualNode(now)) return;
  if (now.nodeType !== Node.ELEMENT_NODE) {
    node.data = now.data;
    return;
  }
  attributes(node, before, now);
  if (now.hasAttribute("data-chart")) chart(node, before, now);
  else children(node, before, now);
}

// A chart is drawn by script, from numbers; what it is called says how many.
function chart(...trees) {
  const plots = trees.map((tree) => tree.querySelector("[data-plot]"));
  if (plots.every(Boolean)) attributes(...plots);
}

function attributes(element, before, now) {
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

function children(element, before, now) {
  const shown = [...element.childNodes], known = [...before.childNodes], wanted = [...now.childNodes];
  if (shown.length !== known.length) {
    element.replaceChildren(...wanted.map((node) => document.importNode(node, true))); // somebody else has been at work
    return;
  }
  const old = new Map(names(known).map((name, at) => [name, at]));
  const made = names(wanted).map((name, at) => {
    const was = old.get(name);
    if (was === undefined) return arrived(wanted[at]);
    old.delete(name);
    patch(shown[was], known[was], wanted[at]);
    return shown[was];
  });
  for (const at of old.values()) shown[at].remove();
  // What stays where it is, is not touched: an element that is put in again loses focus, scroll and selection.
  let place = element.firstChild;
  for (const node of made) {
    if (node === place) place = place.nextSibling;
    else element.insertBefore(node, place);
  }
}

function arrived(node) {
  const made = document.importNode(node, true);
  if (made.nodeName === "LI" || made.nodeName === "TR") made.classList.add("fresh");
  return made;
}

// What nodes among their siblings are about, so that the same row is found again wherever it stands now.
function names(nodes) {
  const many = new Map();
  return nodes.map((node) => {
    const name = `${node.nodeName} ${node.nodeType === Node.ELEMENT_NODE ? subject(node) : ""}`;
    const nth = many.get(name) ?? 0;
    many.set(name, nth + 1);
    return `${name} ${nth}`;
  });
}

function subject(element) {
  const own = element.dataset.region ?? element.dataset.key ?? element.id;
  if (own || !ROWS.has(element.nodeName)) return own;
  const inside = element.querySelector("[data-key], a[href], input[value]");
  return inside ? inside.dataset.key ?? inside.getAttribute("href") ?? inside.getAttribute("value") : "";
}
