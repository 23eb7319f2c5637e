// What a token was used for lately: calls per day as a chart, and the distinct calls, refused ones first.
import { button, h, svg } from "./dom.js";
import { why } from "./explanation.js";
import { DAY } from "./texts.js";

const DAYS = 30,
  MOST_AT_ONCE = 200,
  MOST_PAGES = 3,
  FIRST_SHOWN = 5;
// Percent of the chart: how much of a day's place its column takes, and how low one may be and still be seen.
const COLUMN = 0.72,
  LEAST = 4;
// Calls of several days that have these in common are one entry.
const FACTS = ["outcome", "reason", "permission", "route", "method", "address", "origin"];

// The element. It loads what it shows; days are in UTC, as the server counts them.
export function tokenUse(portal, token) {
  const box = h("section", { class: "use" });
  load(portal, token, box);
  return box;
}

async function load(portal, token, box) {
  const { texts } = portal;
  box.replaceChildren(h("p", { class: "muted" }, texts.of("loading")));
  const first = Math.floor(Date.now() / DAY) - DAYS + 1;
  const terms = new URLSearchParams({ since: new Date(first * DAY).toISOString(), limit: MOST_AT_ONCE });
  const calls = [];
  let next;
  try {
    for (let page = 0; page < MOST_PAGES && next !== null; page++) {
      if (next) terms.set("cursor", next);
      const { record } = await portal.session.call("GET", `access-tokens/${token.id}/calls?${terms}`);
      calls.push(...record.items);
      next = record.next;
    }
  } catch (problem) {
    box.replaceChildren(portal.problem(problem, () => load(portal, token, box)));
    return;
  }
  box.replaceChildren(h("h3", {}, texts.of("use.title")), ...shown(portal, token, calls, first, next !== null));
}

function shown(portal, token, calls, first, more) {
  const { texts } = portal;
  if (!calls.length) return [h("p", { class: "muted" }, texts.of("use.none"))];
  const days = Array.from({ length: DAYS }, (_, at) => ({ at: (first + at) * DAY, allowed: 0, refused: 0 }));
  for (const call of calls) {
    const at = Math.floor(Date.parse(call.last_at) / DAY) - first;
    days[Math.min(Math.max(at, 0), DAYS - 1)][call.outcome] += call.count;
  }
  const sums = ["allowed", "refused"].map((outcome) => [outcome, days.reduce((sum, day) => sum + day[outcome], 0)]);
  const key = ([outcome, count]) =>
    h("span", { class: "chips" }, h("span", { class: `key ${outcome}` }), texts.of(`use.${outcome}`, { count }));
  return [
    h("p", { class: "chips sums" }, sums.map(key)),
    chart(texts, days),
    more && h("p", { class: "hint" }, texts.of("use.partial")),
    list(portal, token, together(calls)),
  ].filter(Boolean);
}

// Refused calls stand on allowed ones, as outlines, so that they differ without colour, too.
function chart(texts, days) {
  const most = Math.max(...days.map((day) => day.allowed + day.refused));
  const place = 100 / DAYS;
  const columns = days.map((day, nth) => {
    let top = 100;
    const words = [];
    const bars = ["allowed", "refused"].map((outcome) => {
      const count = day[outcome];
      words.push(texts.of(`use.${outcome}`, { count }));
      if (!count) return null;
      const height = Math.min(Math.max(LEAST, (count / most) * 100), top);
      top -= height;
      const [x, width] = [(nth + (1 - COLUMN) / 2) * place, COLUMN * place];
      return svg("rect", { class: outcome, x: `${x}%`, width: `${width}%`, y: `${top}%`, height: `${height}%` });
    });
    const title = svg("title", {}, `${texts.day(day.at)}: ${words.join(", ")}`);
    return svg("g", {}, title, svg("rect", { x: `${nth * place}%`, width: `${place}%`, height: "100%" }), ...bars);
  });
  const ends = [days[0], days.at(-1)].map(({ at }) => h("span", {}, texts.day(at)));
  return h(
    "div",
    { class: "chart", "aria-hidden": "true" },
    texts.number(most),
    svg("svg", {}, ...columns),
    h("div", { class: "dates" }, ends),
  );
}

// Equal calls of all days, refused ones first, of each the last made.
function together(calls) {
  const found = new Map();
  for (const call of calls) {
    const key = JSON.stringify(FACTS.map((name) => call[name]));
    const before = found.get(key);
    // The last made come first.
    if (before) Object.assign(before, { count: before.count + call.count, first_at: call.first_at });
    else found.set(key, { ...call });
  }
  return [...found.values()].sort((one, other) => (one.outcome === "allowed") - (other.outcome === "allowed"));
}

function list(portal, token, calls) {
  const entries = calls.map((call) => item(portal, token, call));
  const refused = calls.filter((call) => call.outcome === "refused").length;
  const hidden = entries.slice(Math.min(refused, FIRST_SHOWN));
  for (const entry of hidden) entry.hidden = true;
  const all = button(portal.texts.of("use.showAll"), {
    look: "compact",
    onclick: () => {
      for (const entry of hidden) entry.hidden = false;
      all.remove();
      hidden[0].focus();
    },
  });
  return h("div", {}, h("ul", { class: "plain calls" }, entries), hidden.length > 0 && all);
}

function item(portal, token, call) {
  const { texts } = portal;
  const { reason, route, permission, count } = call;
  const unnamed = { route_unknown: "noRoute", path_ambiguous: "noRoute" }[reason] ?? (reason ? "ownApi" : "others");
  const from = [call.address, call.origin].filter(Boolean).map((name) => h("code", {}, name, " "));
  const first = portal.time(call.first_at, true);
  const named = route ? `${call.method} ${route}` : (permission ?? texts.of(`use.${unnamed}`));
  const [opener, explanation] = call.decision ? why(portal, token, call, named) : [];
  return h(
    "li",
    { tabindex: -1 },
    h(
      "div",
      {},
      permission || route ? h("code", {}, named) : named,
      call.outcome === "refused" && h("p", {}, texts.among("reasons", reason)),
      h("p", { class: "muted" }, from),
    ),
    h("div", { class: "muted" }, texts.parts("use.times", { count, first, time: portal.time(call.last_at, true) }), opener),
    explanation,
  );
}
