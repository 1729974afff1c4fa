// Elements from data. Whatever a name contains, it becomes text: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element: `h("td", {class: "number"}, "text", other)`. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same, of a drawing. */
export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Sets a text if it differs, so that nothing is laid out anew for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A name on one line, whatever it contains: control characters are shown, not obeyed. */
export function name(text) {
  const shown = String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
  return h("bdi", { class: "name", title: shown.length > 32 ? shown : null }, shown === "" ? "(empty)" : shown);
}

/** A state as a badge: a word and a colour, never a colour alone. */
export function badge(text, kind) {
  return h("span", { class: `badge ${kind}` }, text);
}
