// Brushes of the parallel coordinates in the fragment of the address, so that a link shows them to others.
export function readBrushes(names) {
  const params = [...new URLSearchParams(location.hash.slice(1))];
  const brushes = params.map(([name, text]) => [name, text.split("..").map(Number)]);
  const valid = ([name, bounds]) => names.has(name) && bounds.length === 2 && bounds.every(Number.isFinite);
  return new Map(brushes.filter(valid));
}

const boundsText = (bounds) => bounds.map((value) => Number(value.toPrecision(6))).join("..");

export function writeBrushes(brushes) {
  const params = new URLSearchParams([...brushes].map(([name, bounds]) => [name, boundsText(bounds)]));
  const hash = brushes.size ? `#${params}` : "";
  history.replaceState(history.state, "", `${location.pathname}${location.search}${hash}`);
}
