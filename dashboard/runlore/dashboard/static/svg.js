// SVG elements.
const NAMESPACE = "http://www.w3.org/2000/svg";

export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

export function svgElement(parent, name, attributes, text) {
  const element = document.createElementNS(NAMESPACE, name);
  setAttributes(element, attributes);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}
