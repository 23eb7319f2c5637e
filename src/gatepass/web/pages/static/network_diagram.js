// Draws a network while it is typed, like network_diagram.py, on pages and in the component. The server
// parses the address again; notations not supported here only lack a drawing.
import { network } from "./networks.js";

const LAYOUTS = {
  32: { cell: 7, gap: 1, group: 8, groupGap: 6 },
  128: { cell: 2, gap: 0, group: 16, groupGap: 4 },
};
const HEIGHT = 10;

export function format(value, width) {
  if (width === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = value.toString(16).padStart(32, "0").match(/.{4}/g).join(":");
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

// The first and last address of a network, and how many it has: above 2³², as `power` of two.
export function range({ width, value, bits }) {
  const free = BigInt(width - bits);
  const first = (value >> free) << free;
  const size = 1n << free;
  const power = String(free).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
  return { first: format(first, width), last: format(first + size - 1n, width), size, power: free > 32n ? `2${power}` : "" };
}

function words(network) {
  const { first, last, size, power } = range(network);
  if (size === 1n) return `${first} · this address only`;
  return `${first} – ${last} · ${power || size.toLocaleString("en")} addresses`;
}

function cells(layout, start, end) {
  let path = "";
  for (let bit = start; bit < end; bit++) path += `M${left(layout, bit)} 0h${layout.cell}v${HEIGHT}h-${layout.cell}z`;
  return path;
}

const left = (layout, bit) => bit * (layout.cell + layout.gap) + Math.floor(bit / layout.group) * layout.groupGap;

export function drawing({ width, bits }) {
  const layout = LAYOUTS[width];
  const total = left(layout, width - 1) + layout.cell;
  const svg = element("svg", { viewBox: `0 0 ${total} ${HEIGHT}`, width: total, height: HEIGHT, "aria-hidden": "true" });
  svg.append(
    element("path", { class: "kept", d: cells(layout, 0, bits) }),
    element("path", { class: "free", d: cells(layout, bits, width) }),
  );
  return svg;
}

export function draw(box, text, bitText) {
  const drawn = network(text, bitText);
  box.replaceChildren();
  if (!drawn) return;
  const line = document.createElement("p");
  line.textContent = words(drawn);
  box.append(drawing(drawn), line);
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
