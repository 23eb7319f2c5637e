// The picture of a network while it is typed: the drawing and the words of bits.py. The server reads
// the address again; what isn't understood here only has no picture.
const LAYOUTS = {
  32: { cell: 7, gap: 1, group: 8, groupGap: 6 },
  128: { cell: 2, gap: 0, group: 16, groupGap: 4 },
};
const HEIGHT = 10;

// {width: 32 or 128, value: BigInt} or null.
function parse(text) {
  if (/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text)) {
    const parts = text.split(".").map(Number);
    if (parts.some((part) => part > 255)) return null;
    return { width: 32, value: parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
  }
  if (!/^[\da-f:]*:[\da-f:.]*$/i.test(text)) return null;
  let host;
  try {
    host = new URL(`http://[${text}]`).hostname.slice(1, -1);
  } catch {
    return null;
  }
  const [head, tail] = host.split("::").map((half) => (half ? half.split(":") : []));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  return { width: 128, value: BigInt("0x" + groups.map((group) => group.padStart(4, "0")).join("")) };
}

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
  const address = parse(text);
  const bits = bitText === "" ? address?.width : /^[1-9]\d{0,2}$/.test(bitText) ? Number(bitText) : 0;
  box.replaceChildren();
  if (!address || !bits || bits > address.width) return;
  const layout = LAYOUTS[address.width];
  const total = left(layout, address.width - 1) + layout.cell;
  const svg = element("svg", { viewBox: `0 0 ${total} ${HEIGHT}`, width: total, height: HEIGHT, "aria-hidden": "true" });
  svg.append(
    element("path", { class: "kept", d: cells(layout, 0, bits) }),
    element("path", { class: "free", d: cells(layout, bits, address.width) }),
  );
  const line = document.createElement("p");
  line.textContent = words(address.value, bits, address.width);
  box.append(svg, line);
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
