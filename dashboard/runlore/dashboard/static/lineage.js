// Scroll a wide lineage graph to the entity that it is about.
const graph = document.querySelector(".graph");
const root = graph?.querySelector(".node.root");
if (root) {
  const box = root.getBoundingClientRect(), frame = graph.getBoundingClientRect();
  graph.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
}
