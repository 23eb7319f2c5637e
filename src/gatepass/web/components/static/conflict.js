// An edit conflict: someone else saved the token first. Shows both versions of what differs.
import { button, h, isolated, notice } from "./dom.js";

// The names of fields; texts, times, numbers, and lists.
const NAMES = {
  label: "form.label",
  permissions: "form.permissions",
  expires_at: "details.expires",
  domains: "details.domains",
  networks: "details.networks",
  unused_days: "details.unused",
};

// `stored`: the saved record; `changes`: the fields of the form that differ from it. `discard` opens the saved one.
export function conflict(portal, stored, changes, discard) {
  const { texts } = portal;
  const columns = ["setting", "saved", "yours"].map((name) => texts.of(`conflict.${name}`));
  const row = (name) => {
    const contents = [texts.of(NAMES[name]), inWords(portal, name, stored[name]), inWords(portal, name, changes[name])];
    const cells = contents.map((content, at) => h("td", { role: "cell", "data-name": columns[at] }, content));
    return h("tr", { role: "row" }, cells);
  };
  const heads = columns.map((column) => h("th", { role: "columnheader", scope: "col" }, column));
  return notice(
    "warn",
    h("strong", {}, texts.of("conflict.title")),
    h("p", {}, texts.of("conflict.text")),
    h(
      "table",
      { class: "versions", role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      h("tbody", { role: "rowgroup" }, Object.keys(changes).map(row)),
    ),
    button(texts.of("conflict.discard"), { onclick: discard }),
  );
}

function inWords(portal, name, value) {
  if (name === "label") return isolated(value);
  if (name === "expires_at") return value === null ? portal.texts.of("never") : portal.time(value);
  if (name === "unused_days")
    return value ? portal.texts.of("details.unusedDays", { count: value }) : portal.texts.of("never");
  return value.join(", ") || portal.texts.of("conflict.any");
}
