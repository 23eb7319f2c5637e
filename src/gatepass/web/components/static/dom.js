// Elements without markup: no text can become an element, and host pages may require Trusted Types.
const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "open"]);

// Paths in a box of 16, as on the dashboard's pages.
const ICONS = {
  search: "M7.2 12.4a5.2 5.2 0 1 0 0-10.4 5.2 5.2 0 0 0 0 10.4zM11 11l3.2 3.2",
  plus: "M8 3v10M3 8h10",
  minus: "M3.5 8h9",
  down: "M4 6.2 8 10l4-3.8",
  left: "M9.8 3.8 5.8 8l4 4.2",
  check: "M3 8.4 6.4 12 13 4.4",
  copy: "M5.5 5.5V3.2c0-.4.3-.7.7-.7h6.6c.4 0 .7.3.7.7v6.6c0 .4-.3.7-.7.7h-2.3M3.2 5.5h6.6c.4 0 .7.3.7.7v6.6c0 .4-.3.7-.7.7H3.2a.7.7 0 0 1-.7-.7V6.2c0-.4.3-.7.7-.7z",
  again: "M13.3 8A5.3 5.3 0 1 1 11.6 4.1M13.4 2.3v3.2h-3.2",
  pencil: "M10.7 2.9l2.4 2.4-7.8 7.8-3 .6.6-3z",
  stop: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM3.9 3.9l8.2 8.2",
  warn: "M8 2.6 14.2 13.3H1.8zM8 6.6v3M8 11.5v.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.3v3.6M8 5v.01",
};

let made = 0;

// An id for an element that another one names.
export const id = () => `e${++made}`;

// An element. Attributes that are null, undefined or false are left out; those that begin with "on" are listeners.
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// An element of a drawing.
export function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter(Boolean));
  return element;
}

export const icon = (name) =>
  svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

// Other people's text, whose direction doesn't reorder the sentence around it.
export const isolated = (text) => h("bdi", {}, text);

// A notice of one of the kinds info, warn, bad and good.
export function notice(kind, ...children) {
  const shown = { info: "info", warn: "warn", bad: "warn", good: "check" }[kind];
  return h("div", { class: `notice ${kind}`, part: `notice ${kind}` }, icon(shown), h("div", {}, ...children));
}

// A button; `look` is one of "", "primary", "danger" and "quiet".
export function button(words, { look = "", drawn = "", ...attributes } = {}) {
  const part = ["button", look].filter(Boolean).join(" ");
  return h("button", { type: "button", class: part, part, ...attributes }, drawn && icon(drawn), h("span", {}, words));
}
