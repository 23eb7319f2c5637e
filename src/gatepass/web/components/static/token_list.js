// The list of the owner's tokens, and what one row says when it is opened.
import { copyButton } from "./copying.js";
import { confirmDeactivation } from "./deactivation.js";
import { button, h, icon, id, isolated, notice } from "./dom.js";
import { confirmRotation } from "./rotation.js";
import { diagram, parsed } from "./rows.js";
import { ability, worded } from "./sentence.js";
import { tokenUse } from "./token_use.js";

const PAGE = 20,
  MOST_CHIPS = 2,
  TYPING_MS = 250;
const COLUMNS = ["token", "permissions", "restrictions", "expires", "lastUsed", "status", "actions"];
const STATUSES = ["active", "pending", "expired", "deactivated", "any"];

export class TokenList {
  #portal;
  #texts;
  #search;
  #status;
  #results;
  #table;
  #count;
  #more;
  #notice;
  #asking;
  #waiting;
  #tokens = [];
  #rows = new Map();
  #awaited = null;
  #next = null;

  // `values`: {q, status}, as the list before had them.
  constructor(portal, values = { q: "", status: "active" }) {
    const texts = (this.#texts = portal.texts);
    this.#portal = portal;
    const labelled = id();
    this.#search = h("input", {
      type: "search",
      class: "input",
      part: "input",
      value: values.q,
      maxlength: 200,
      placeholder: texts.of("search"),
      "aria-label": texts.of("search"),
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#pause(),
    });
    this.#status = h(
      "select",
      { id: labelled, class: "input", part: "input", onchange: () => this.load() },
      STATUSES.map((status) => h("option", { value: status }, texts.of(`statuses.${status}`))),
    );
    this.#status.value = values.status;
    this.#notice = h("div", { role: "status" });
    this.#count = h("p", { class: "muted", role: "status" });
    this.#results = h("div", { class: "results" });
    this.#more = button(texts.of("more"), { onclick: () => this.#continue(), hidden: true });
    this.element = h(
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "head" },
        h(
          "div",
          {},
          h("h2", { tabindex: -1, part: "heading" }, texts.of("title")),
          h("p", { class: "muted", part: "lead" }, texts.of("lead")),
        ),
        button(texts.of("createNew"), { look: "primary", drawn: "plus", onclick: () => portal.create() }),
      ),
      this.#notice,
      h(
        "div",
        { class: "card", part: "card" },
        h(
          "form",
          {
            class: "toolbar",
            role: "search",
            onsubmit: (event) => {
              event.preventDefault();
              this.load();
            },
          },
          h("div", { class: "search" }, icon("search"), this.#search),
          h("div", { class: "pick" }, h("label", { for: labelled }, texts.of("status")), this.#status),
        ),
        this.#results,
        h("div", { class: "pager" }, this.#count, this.#more),
      ),
    );
    this.load();
  }

  redrawn() {
    this.leave();
    return new TokenList(this.#portal, this.#values);
  }

  leave() {
    clearTimeout(this.#waiting);
    this.#asking?.abort();
  }

  // A row that is still being loaded takes the focus from the heading when it comes.
  focus(token) {
    const row = this.#rows.get(token?.id);
    this.#awaited = row ? null : token?.id;
    (row?.querySelector("button") ?? this.#heading).focus();
  }

  // Loads the first page.
  async load() {
    this.leave();
    this.tell(null);
    await this.#fetch(null);
  }

  // Shows a token that changed.
  replace(token) {
    const row = this.#rows.get(token.id);
    if (!row) return;
    const fresh = this.#row(token, row.classList.contains("open"));
    row.replaceWith(fresh);
    this.#rows.set(token.id, fresh);
  }

  // Says above the list what was done or went wrong.
  tell(shown) {
    this.#notice.replaceChildren(...(shown ? [shown] : []));
  }

  get #heading() {
    return this.element.querySelector("h2");
  }

  get #values() {
    return { q: this.#search.value, status: this.#status.value };
  }

  #pause() {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.load(), TYPING_MS);
  }

  async #continue() {
    const before = this.#rows.size;
    await this.#fetch(this.#next);
    [...this.#rows.values()][before]?.querySelector("button").focus();
  }

  async #fetch(cursor) {
    const { q, status } = this.#values;
    const terms = new URLSearchParams({ limit: PAGE });
    if (q.trim()) terms.set("q", q.trim());
    if (status !== "any") terms.set("status", status);
    if (cursor) terms.set("cursor", cursor);
    const { signal } = (this.#asking = new AbortController());
    this.#results.ariaBusy = "true";
    if (!this.#results.firstChild) this.#results.append(h("p", { class: "blank muted" }, this.#texts.of("loading")));
    try {
      const { record } = await this.#portal.session.call("GET", `access-tokens?${terms}`, { signal });
      // Rows that show the same stay as they are: open, and with the focus.
      const former = new Map(cursor ? [] : this.#rows);
      const focused = this.#results.getRootNode().activeElement;
      const [at] = [...former].find(([, row]) => row.contains(focused)) ?? [
        focused === this.#heading ? this.#awaited : null,
      ];
      if (!cursor) this.#begin(record.items.length > 0);
      for (const token of record.items) this.#append(token, former.get(token.id));
      if (this.#results.contains(focused)) focused.focus();
      else if (this.#rows.has(at)) this.focus({ id: at });
      this.#next = record.next;
    } catch (problem) {
      if (signal.aborted) return;
      this.#next = cursor;
      if (!cursor) this.#rows.clear();
      const shown = this.#portal.problem(problem, () => this.#fetch(cursor));
      if (cursor) this.tell(shown);
      else this.#results.replaceChildren(h("div", { class: "body" }, shown));
    }
    this.#results.ariaBusy = null;
    this.#more.hidden = !this.#next;
    this.#count.textContent = this.#texts.of("shown", { count: this.#rows.size });
  }

  #begin(some) {
    const texts = this.#texts;
    this.#rows.clear();
    if (!some) {
      const { q, status } = this.#values;
      const narrowed = q.trim() || !["active", "any"].includes(status);
      this.#results.replaceChildren(
        h(
          "div",
          { class: "blank" },
          h("h3", {}, texts.of(narrowed ? "noMatch" : "noneYet")),
          h("p", { class: "muted" }, texts.of(narrowed ? "noMatchHint" : "noneYetHint")),
          narrowed &&
            button(texts.of("showAll"), {
              onclick: () => {
                this.#search.value = "";
                this.#status.value = "any";
                this.load();
              },
            }),
        ),
      );
      return;
    }
    // Narrow pages show cards; the roles keep them a table for screen readers.
    this.#table = h(
      "table",
      { role: "table", part: "table", "aria-label": texts.of("title") },
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          COLUMNS.map((name) =>
            h("th", { role: "columnheader", scope: "col" }, h("span", {}, texts.of(`columns.${name}`))),
          ),
        ),
      ),
    );
    this.#results.replaceChildren(this.#table);
  }

  #append(token, former) {
    const text = JSON.stringify(token);
    const row = former?.shows === text ? former : this.#row(token);
    row.shows = text;
    this.#rows.set(token.id, row);
    this.#table.append(row);
  }

  // A row and, once it is opened, its details.
  #row(token, isOpen = false) {
    const texts = this.#texts;
    const portal = this.#portal;
    const shown = id();
    // On cards, what isn't limited is left out.
    const cell = (name, shown, unlimited) =>
      h(
        "td",
        { role: "cell", class: shown ? name : `${name} unlimited`, "data-name": texts.of(`columns.${name}`) },
        shown || h("span", { class: "muted" }, texts.of(unlimited)),
      );
    const moment = (text) => text && portal.time(text, true);
    const opener = h(
      "button",
      {
        type: "button",
        class: "title",
        "aria-expanded": String(isOpen),
        "aria-controls": shown,
        onclick: () => open(opener.ariaExpanded !== "true"),
      },
      icon("down"),
      isolated(token.label),
    );
    const restrictions = [...token.domains, ...token.networks];
    const row = h(
      "tbody",
      { role: "rowgroup", class: token.status === "active" ? "" : "ended" },
      h(
        "tr",
        { role: "row", part: "row" },
        h(
          "td",
          { role: "cell", class: "token" },
          opener,
          h(
            "span",
            { class: "under" },
            h("code", {}, `${token.id.slice(0, 12)}…`),
            h("span", { class: "kind" }, texts.of(`kinds.${token.kind}`)),
            token.imported && h("span", { class: "kind" }, texts.of("imported")),
          ),
        ),
        cell("permissions", this.#chips(token.permissions)),
        cell("restrictions", restrictions.length > 0 && this.#chips(restrictions), "anyWhere"),
        cell("expires", moment(token.expires_at), "never"),
        cell("lastUsed", moment(token.last_used?.at), "never"),
        cell(
          "status",
          h("span", { class: `badge ${token.status}`, part: "badge" }, texts.of(`statuses.${token.status}`)),
        ),
        cell("actions", h("div", { class: "buttons" }, this.#actions(token))),
      ),
    );
    const details = h("tr", { role: "row", id: shown, hidden: true });
    row.append(details);
    const open = (is) => {
      opener.ariaExpanded = String(is);
      row.classList.toggle("open", is);
      details.hidden = !is;
      if (is && !details.firstChild)
        details.append(h("td", { role: "cell", class: "details", colspan: COLUMNS.length }, this.#details(token)));
    };
    if (isOpen) open(true);
    return row;
  }

  #actions(token) {
    const texts = this.#texts;
    const portal = this.#portal;
    const label = token.label;
    const edit = token.status === "active" && portal.permissions.coverAll(token);
    return [
      edit &&
        button(texts.of("edit"), {
          look: "quiet",
          drawn: "pencil",
          "aria-label": texts.of("editNamed", { label }),
          onclick: () => portal.edit(token),
        }),
      edit &&
        !token.rotation?.replaced_by &&
        button(texts.of("replace"), {
          look: "quiet",
          drawn: "again",
          "aria-label": texts.of("replaceNamed", { label }),
          onclick: () => confirmRotation(portal, token),
        }),
      token.status !== "deactivated" &&
        button(texts.of("deactivate"), {
          look: "quiet",
          drawn: "stop",
          "aria-label": texts.of("deactivateNamed", { label }),
          onclick: () => confirmDeactivation(portal, token),
        }),
    ];
  }

  #chips(entries) {
    const more = entries.length - MOST_CHIPS;
    return h(
      "div",
      { class: "chips" },
      entries.slice(0, MOST_CHIPS).map((entry) => h("code", { class: "chip", part: "chip" }, entry)),
      more > 0 && h("span", { class: "muted" }, this.#texts.of("andMore", { count: more })),
    );
  }

  #details(token) {
    const texts = this.#texts;
    const portal = this.#portal;
    const { status } = token;
    const number = h("code", {}, token.id);
    const fact = (name, ...children) =>
      h("div", {}, h("dt", {}, texts.of(`details.${name}`)), h("dd", {}, ...children));
    const by = (text, name) =>
      name ? texts.parts("details.createdBy", { time: portal.time(text), name: isolated(name) }) : portal.time(text);
    // It has a cause and no person: it was replaced, reported as leaked, or an old text of it was used again.
    const cause = token.deactivated_by && token.deactivated_by === token.deactivated_by_name;
    const used = token.last_used;
    const does = () => {
      if (status !== "active")
        return notice(status === "expired" ? "warn" : "info", texts.of(`details.ended.${status}`));
      if (!token.effective_permissions.length) return notice("warn", texts.of("details.powerless"));
      return h("p", { class: "sentence" }, ability(portal, { ...token, permissions: token.effective_permissions }));
    };
    return h(
      "div",
      { class: "stack" },
      does(),
      status !== "deactivated" && !portal.permissions.coverAll(token) && notice("info", texts.of("details.beyond")),
      h(
        "dl",
        {},
        fact(
          "permissions",
          h(
            "ul",
            { class: "plain" },
            [...token.permissions].sort().map((name) => this.#permission(token, name)),
          ),
        ),
        token.domains.length > 0 &&
          fact(
            "domains",
            h(
              "ul",
              { class: "plain" },
              token.domains.map((domain) => h("li", {}, h("code", {}, domain))),
            ),
          ),
        token.networks.length > 0 &&
          fact(
            "networks",
            h(
              "ul",
              { class: "plain" },
              token.networks.map((network) =>
                h("li", {}, h("code", {}, network), h("div", { class: "diagram" }, diagram(texts, parsed(network)))),
              ),
            ),
          ),
        fact(
          status === "expired" ? "expired" : "expires",
          token.expires_at ? portal.time(token.expires_at) : texts.of("never"),
        ),
        token.unused_days && fact("unused", texts.of("details.unusedDays", { count: token.unused_days })),
        fact(
          "lastUsed",
          used
            ? used.address
              ? texts.parts("details.lastUsedFrom", {
                  time: portal.time(used.at),
                  address: h("code", {}, used.address),
                })
              : portal.time(used.at)
            : texts.of("never"),
        ),
        fact("created", by(token.created_at, token.created_by_name)),
        token.rotation?.replaces && fact("replaces", h("code", {}, token.rotation.replaces)),
        token.rotation?.replaced_by && fact("replacedBy", h("code", {}, token.rotation.replaced_by)),
        token.rotation?.replaced_by && status === "active" && fact("closes", portal.time(token.rotation.closes_at)),
        token.deactivated_at && fact("deactivated", by(token.deactivated_at, cause ? "" : token.deactivated_by_name)),
        fact(
          "id",
          h("div", { class: "chips" }, number, copyButton(texts, number, texts.of("details.copyId"), "quiet compact")),
        ),
      ),
      tokenUse(portal, token),
    );
  }

  // One permission in words. Of a resource's wildcard that doesn't count as a whole, also the parts that do.
  #permission(token, name) {
    const texts = this.#texts;
    const effective = token.effective_permissions;
    const [resource, action] = name.split(":");
    const { titles } = this.#portal.permissions;
    const parts =
      action === "*" && !effective.includes(name) ? effective.filter((each) => each.startsWith(`${resource}:`)) : [];
    const counts = effective.includes(name) || parts.length > 0;
    const all = () => texts.of("details.allOf", { resource: worded(texts, "resources", resource) });
    const title = action === "*" ? all() : (titles.get(name) ?? texts.of("details.unknown"));
    const lost = !counts && token.status === "active" && ` · ${texts.of("details.lost")}`;
    const item = (name, look, ...words) =>
      h("li", {}, h("code", { class: look }, name), " ", h("span", { class: "muted" }, words));
    return [item(name, counts ? "" : "lost", title, lost), parts.map((part) => item(part, "", titles.get(part) ?? ""))];
  }
}
