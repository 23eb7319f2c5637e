// Draws a network while it is typed, like network_diagram.py. The server parses the address again; notations not
// supported here only lack a drawing.
import { network } from "./networks.js";

const LAYOUTS = {
  32: { cell: 7, gap: 1, group: 8, groupGap: 6 },
  128: { cell: 2, gap: 0, group: 16, groupGap: 4 },
};
const HEIGHT = 10;

function format(value, width) {
  if (width === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = value.toString(16).padStart(32, "0").match(/.{4}/g).join(":");
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

function words(value, bits, width) {
  const free = BigInt(width - bits);
  const first = (value >> free) << free;
  if (!free) return `${format(first, width)} · this address only`;
  const size = 1n << free;
  const power = String(free).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
  const count = free > 32n ? `2${power}` : size.toLocaleString("en");
  return `${format(first, width)} – ${format(first + size - 1n, width)} · ${count} addresses`;
}

function cells(layout, start, end) {
  let path = "";
  for (let bit = start; bit < end; bit++) path += `M${left(layout, bit)} 0h${layout.cell}v${HEIGHT}h-${layout.cell}z`;
  return path;
}

const left = (layout, bit) => bit * (layout.cell + layout.gap) + Math.floor(bit / layout.group) * layout.groupGap;

export function draw(box, text, bitText) {
  const drawn = network(text, bitText);
  box.replaceChildren();
  if (!drawn) return;
  const { width, value, bits } = drawn;
  const layout = LAYOUTS[width];
  const total = left(layout, width - 1) + layout.cell;
  const svg = element("svg", { viewBox: `0 0 ${total} ${HEIGHT}`, width: total, height: HEIGHT, "aria-hidden": "true" });
  svg.append(
    element("path", { class: "kept", d: cells(layout, 0, bits) }),
    element("path", { class: "free", d: cells(layout, bits, width) }),
  );
  const line = document.createElement("p");
  line.textContent = words(value, bits, width);
  box.append(svg, line);
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
