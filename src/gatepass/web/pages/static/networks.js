// Parses network notations like typed_networks.py, for drawing them while they are typed. The server
// parses them again; notations not supported here only lack a drawing.
const DASH = /\s*[-\u2010-\u2015\u2212]\s*/;

// {width: 32 or 128, value: BigInt} or null.
export function address(text) {
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
  const value = BigInt("0x" + groups.map((group) => group.padStart(4, "0")).join(""));
  // An IPv4 address written as IPv6, which never matches.
  return value >> 32n === 0xffffn ? null : { width: 128, value };
}

// {width, value, bits} of a row's two fields, or null.
export function network(text, bitText) {
  text = text.trim().replace(/[\u2044\u2215\uff0f]/g, "/");
  bitText = bitText.trim().replace(/^\//, "");
  const masked = text.match(/^(\S+?)(?:\s*\/\s*|\s+(?=255\.))(\S+)$/);
  if (masked) return bitText ? null : network(masked[1], masked[2]);
  const stars = text.match(/^((?:\d{1,3}\.){1,3})\*(?:\.\*)*$/);
  if (stars && text.split(".").length === 4) {
    const kept = stars[1].split(".").length - 1;
    return bitText ? null : network(text.replaceAll("*", "0"), String(8 * kept));
  }
  const ends = text.split(DASH);
  if (ends.length === 2) return bitText ? null : ofRange(...ends.map(address));
  const one = address(text);
  const bits = !one ? 0 : bitText === "" ? one.width : bitText.includes(".") ? ofMask(bitText) : decimal(bitText);
  return bits > 0 && bits <= one.width ? { ...one, bits } : null;
}

// The fields of a line such as "203.0.113.0/24 Office", whose note has no numbers; null for any other
// line, which the server parses or rejects.
export function fields(line) {
  const found = line.match(/^([\da-f.:]+)(?:\/(\d{1,3}))?(?:\s+(\p{L}[^\p{N}#*:/\\]*))?$/iu);
  if (!found || !network(found[1], found[2] ?? "")) return null;
  const words = found[3] ?? "";
  if (words && found[1].includes(":") && /(?<![\p{L}\p{M}])[a-f]+(?![\p{L}\p{M}])/iu.test(words)) return null;
  return [found[1], found[2] ?? "", words];
}

const decimal = (text) => (/^[1-9]\d{0,2}$/.test(text) ? Number(text) : 0);

function ofMask(text) {
  const mask = address(text);
  const bits = mask?.value.toString(2) ?? "";
  return bits.length === 32 && /^1+0*$/.test(bits) ? bits.replaceAll("0", "").length : 0;
}

function ofRange(first, last) {
  if (!first || !last || first.width !== last.width || first.value > last.value) return null;
  const bits = first.width - (last.value - first.value).toString(2).replace(/^0$/, "").length;
  const free = BigInt(first.width - bits);
  const whole = ((first.value >> free) << free) === first.value && first.value + (1n << free) - 1n === last.value;
  return whole && bits > 0 ? { ...first, bits } : null;
}
