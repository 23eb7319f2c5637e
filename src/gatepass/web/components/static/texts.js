// The component's texts in the language of its page: replaced strings, numbers, lists, times.
import { ENGLISH } from "./strings.js";

export const MINUTE = 60_000,
  HOUR = 60 * MINUTE,
  DAY = 24 * HOUR;
// The units of distances in time, and from how many on the next one takes over.
const UNITS = [
  ["minute", MINUTE, 60],
  ["hour", HOUR, 24],
  ["day", DAY, 60],
  ["month", (365 * DAY) / 12, 24],
  ["year", 365 * DAY, Infinity],
];

export class Texts {
  #strings;
  #plural;
  #number;
  #and;
  #exact;
  #day;
  #relative;

  // `lang`: a language tag; one that browsers don't know means the browser's own.
  constructor(strings, lang) {
    this.#strings = strings;
    try {
      this.lang = Intl.getCanonicalLocales(lang || [])[0];
    } catch {
      this.lang = undefined;
    }
    this.#plural = new Intl.PluralRules(this.lang);
    this.#number = new Intl.NumberFormat(this.lang);
    this.#and = new Intl.ListFormat(this.lang, { type: "conjunction" });
    this.#exact = new Intl.DateTimeFormat(this.lang, { dateStyle: "medium", timeStyle: "short" });
    this.#day = new Intl.DateTimeFormat(this.lang, { day: "numeric", month: "short", timeZone: "UTC" });
    this.#relative = new Intl.RelativeTimeFormat(this.lang, { style: "short" });
    this.now = new Intl.RelativeTimeFormat(this.lang, { numeric: "auto" }).format(0, "second");
  }

  // The text `name`, such as "form.label", with its values.
  of(name, values = {}) {
    return this.parts(name, values).join("");
  }

  // Likewise as a list of strings and of those values that are nodes.
  parts(name, values = {}) {
    // A later server may send a status or kind that this module doesn't know.
    let found = this.find(name) ?? name.split(".").at(-1);
    if (typeof found === "object") found = found[this.#plural.select(values.count)] ?? found.other;
    if (typeof found === "function") found = found(values);
    return String(found)
      .split(/\{(\w+)\}/)
      .map((part, at) => (at % 2 ? this.#shown(values[part]) : part))
      .filter((part) => part !== "");
  }

  // The string, function or group `name`; undefined if there is none.
  find(name) {
    return name
      .split(".")
      .reduce((group, key) => (Object.hasOwn(group ?? {}, key) ? group[key] : undefined), this.#strings);
  }

  // The text for `key` in a group of texts, or its `other`.
  among(group, key, values) {
    return this.of(`${group}.${this.find(`${group}.${key}`) === undefined ? "other" : key}`, values);
  }

  #shown(value) {
    return ["number", "bigint"].includes(typeof value) ? this.number(value) : (value ?? "");
  }

  number(value) {
    return this.#number.format(value);
  }

  list(items) {
    return this.#and.format(items);
  }

  exact(at) {
    return this.#exact.format(at);
  }

  // The day of a time in UTC.
  day(at) {
    return this.#day.format(at);
  }

  // Future times are rounded, so that a token for 30 days says "in 30 days"; past ones are cut off.
  relative(at) {
    const distance = at - Date.now();
    if (Math.abs(distance) < MINUTE) return this.now;
    const [unit, count] = UNITS.map(([unit, length, most]) => [
      unit,
      distance > 0 ? Math.round(distance / length) : Math.ceil(distance / length),
      most,
    ]).find(([, count, most]) => Math.abs(count) < most);
    return this.#relative.format(count, unit);
  }

  duration(count, unit) {
    return new Intl.NumberFormat(this.lang, { style: "unit", unit, unitDisplay: "long" }).format(count);
  }

  // Of more than three items the first two, and how many more there are.
  some(items) {
    if (items.length <= 3) return this.list(items);
    return this.of("sentence.some", { items: items.slice(0, 2).join(", "), count: items.length - 2 });
  }
}

// `own` over the English strings, group by group.
export function merged(own, base = ENGLISH) {
  const found = { ...base };
  for (const [key, value] of Object.entries(own ?? {})) {
    found[key] =
      value && typeof value === "object" ? merged(value, typeof base[key] === "object" ? base[key] : {}) : value;
  }
  return found;
}
