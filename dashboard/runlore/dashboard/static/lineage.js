// A wide graph starts where it is about: at its root.
const graph = document.querySelector(".graph");
const root = graph?.querySelector(".node.root");
if (root) {
  const box = root.getBoundingClientRect(), frame = graph.getBoundingClientRect();
  graph.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
}
