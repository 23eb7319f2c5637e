// Creating and editing a token.
import { button, h, id, isolated, notice } from "./dom.js";
import { Expiry, sameMinute } from "./expiry.js";
import { PermissionPicker } from "./permissions.js";
import { complain, DomainRows, NetworkRows, ownNetwork, problem } from "./rows.js";
import { ability } from "./sentence.js";
import { Problem } from "./session.js";

// Screen readers hear the summary once the form rests.
const PAUSE_MS = 200;
const NEW = { label: "", kind: "api", permissions: [], expire: { choice: "never", moment: "" }, networks: [], domains: [] };

const valuesOf = (token) => ({
  label: token.label,
  kind: token.kind,
  permissions: token.permissions,
  expire: Expiry.of(token.expires_at),
  networks: token.networks.map((network) => network.split("/")),
  domains: token.domains,
});

const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class TokenForm {
  #portal; #texts; #token; #etag; #values; #leaving = new AbortController();
  #label; #kinds; #picker; #expiry; #networks; #domains; #problems = {}; #notice; #sentence; #submit; #waiting;
  // What was sent to create the token, whose key makes the server create one however often it is sent.
  #sent = null;

  // `token` and `etag` of the token to edit; without them the form creates one. `values`: as `values` returns them.
  constructor(portal, { token = null, etag = null, values = null } = {}) {
    this.#portal = portal;
    this.#texts = portal.texts;
    this.#token = token;
    this.#etag = etag;
    this.#values = values ?? (token ? valuesOf(token) : NEW);
    this.element = this.#build();
    this.#summarize();
  }

  redrawn() {
    const { label, kind } = this.#chosenPlainly();
    const values = { label, kind, permissions: this.#picker.chosen, expire: this.#expiry.values, networks: this.#networks.values, domains: this.#domains.values };
    this.leave();
    return new TokenForm(this.#portal, { token: this.#token, etag: this.#etag, values });
  }

  // Ends what is under way.
  leave() {
    this.#leaving.abort();
    clearTimeout(this.#waiting);
  }

  focus() {
    this.element.querySelector("h2").focus();
  }

  #build() {
    const texts = this.#texts, values = this.#values, { permissions, me } = this.#portal;
    for (const field of ["label", "kind", "permissions", "expires_at", "networks", "domains"]) this.#problems[field] = problem();
    const labelled = id(), hint = id();
    this.#label = h("input", {
      id: labelled, class: "input", part: "input", dir: "auto", value: values.label, maxlength: 100, autocomplete: "off", placeholder: texts.of("form.labelExample"), "aria-describedby": `${hint} ${this.#problems.label.id}`,
    });
    this.#kinds = ["api", "ui"].map((kind) => h("input", { type: "radio", name: "kind", value: kind, checked: kind === values.kind }));
    this.#picker = new PermissionPicker(texts, permissions, values.permissions.filter((name) => permissions.knows(name)), this.#problems.permissions);
    this.#expiry = new Expiry(texts, values.expire, this.#problems.expires_at);
    this.#networks = new NetworkRows(texts, values.networks, ownNetwork(me.address));
    this.#domains = new DomainRows(texts, values.domains);
    this.#notice = h("div", { class: "notices" });
    this.#sentence = h("p", { class: "sentence", role: "status" });
    this.#submit = button(texts.of(this.#token ? "form.save" : "form.submit"), { look: "primary", type: "submit" });
    const domains = h("section", { part: "section" }, this.#optional("domains", this.#domains, { wildcard: h("code", {}, "*.example.com"), local: h("code", {}, "localhost:3000") }));
    const showDomains = () => (domains.hidden = this.#kind() !== "ui");
    const forgotten = values.permissions.filter((name) => !permissions.knows(name));
    const form = h("form", { class: "columns", novalidate: true, autocomplete: "off", oninput: () => this.#pause(), onsubmit: (event) => this.#save(event) },
      h("div", { class: "stack" },
        this.#notice,
        forgotten.length > 0 && notice("warn", texts.of("form.forgotten", { permissions: texts.list(forgotten) })),
        h("div", { class: "card sections", part: "card" },
          h("section", { part: "section" }, h("div", { class: "field" },
            h("label", { for: labelled, class: "name" }, texts.of("form.label")), this.#label, h("p", { class: "hint", id: hint }, texts.of("form.labelHint")), this.#problems.label)),
          !this.#token && h("section", { part: "section", onchange: showDomains }, this.#kindField()),
          h("section", { part: "section" }, this.#picker.element),
          h("section", { part: "section" }, this.#expiry.element),
          domains,
          h("section", { part: "section" }, this.#optional("networks", this.#networks)))),
      h("aside", { class: "card summary", part: "card summary" },
        h("h3", {}, texts.of(this.#token ? "form.afterSaving" : "form.summary")),
        this.#sentence,
        !this.#token && notice("info", texts.of("form.once")),
        h("div", { class: "buttons start" }, this.#submit, button(texts.of("cancel"), { look: "quiet", onclick: () => this.#portal.showList() }))));
    showDomains();
    const title = this.#token ? texts.parts("form.edit", { label: isolated(this.#token.label) }) : texts.of("form.create");
    return h("div", { class: "stack" },
      h("div", {},
        button(texts.of("back"), { look: "quiet back", drawn: "left", onclick: () => this.#portal.showList() }),
        h("h2", { tabindex: -1, part: "heading" }, title)),
      form);
  }

  #kindField() {
    const texts = this.#texts;
    const choice = (box, name) => h("label", { class: "choice", part: "choice" }, box, h("span", {}, h("strong", {}, texts.of(`form.${name}`)), h("span", { class: "hint" }, texts.of(`form.${name}Hint`))));
    return h("fieldset", {}, h("legend", {}, texts.of("form.kind")), h("div", { class: "choices" }, this.#kinds.map((box) => choice(box, box.value))), this.#problems.kind);
  }

  #optional(name, rows, values) {
    const texts = this.#texts, hint = id();
    return h("fieldset", { "aria-describedby": `${hint} ${this.#problems[name].id}` },
      h("legend", {}, texts.of(`form.${name}`), h("span", { class: "optional" }, " · ", texts.of("form.optional"))),
      h("p", { class: "hint", id: hint }, texts.parts(`form.${name}Hint`, values)),
      this.#problems[name], rows.element);
  }

  #kind() {
    return this.#kinds.find(({ checked }) => checked).value;
  }

  #chosenPlainly() {
    return { label: this.#label.value, kind: this.#kind() };
  }

  // What the form denotes, and its errors: [field, control, message].
  #read() {
    const texts = this.#texts, errors = [];
    const { at, error } = this.#expiry.chosen;
    const { label, kind } = this.#chosenPlainly();
    const chosen = {
      label: label.trim(),
      kind,
      permissions: this.#picker.chosen,
      networks: [...this.#networks.entries.keys()],
      // For API hides the domains: they are kept in case the user switches back, but not used.
      domains: kind === "ui" ? [...this.#domains.entries.keys()] : [],
      expires_at: at,
    };
    if (!chosen.label) errors.push(["label", texts.of("errors.label")]);
    if (!chosen.permissions.length) errors.push(["permissions", texts.of("errors.permissions")]);
    if (error) errors.push(["expires_at", error]);
    return { chosen, errors };
  }

  #pause() {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.#summarize(), PAUSE_MS);
  }

  // The sentence, or the input that it lacks.
  #summarize() {
    const texts = this.#texts, { chosen, errors } = this.#read();
    const wrong = this.#networks.rows.filter((row) => row.wrong()).length;
    const lacking = new Map(errors);
    let missing = "";
    if (wrong) missing = texts.of("errors.networks", { count: wrong });
    else if (lacking.has("permissions")) missing = texts.of(lacking.has("label") ? "errors.both" : "errors.permissions");
    else missing = lacking.get("expires_at") ?? "";
    const parts = missing ? [missing] : ability(texts, { ...chosen, expiresAt: chosen.expires_at }, (at) => this.#portal.time(at));
    this.#sentence.classList.toggle("muted", Boolean(missing));
    const said = parts.map((part) => part.textContent ?? part).join("");
    if (said !== this.#sentence.textContent) this.#sentence.replaceChildren(...parts);
  }

  async #save(event) {
    event.preventDefault();
    if (this.#submit.ariaDisabled === "true") return;
    const { chosen, errors } = this.#read();
    this.#show(errors);
    if (errors.length) return;
    this.#busy(true);
    try {
      if (this.#token) await this.#modify(chosen);
      else await this.#create(chosen);
    } catch (found) {
      if (this.#leaving.signal.aborted) return;
      this.#failed(found);
    } finally {
      this.#busy(false);
    }
  }

  async #create(chosen) {
    const body = { ...chosen, expires_at: chosen.expires_at === null ? null : new Date(chosen.expires_at).toISOString() };
    // A preset counts from the first attempt, so that a repeated one sends the same.
    const content = JSON.stringify([{ ...chosen, expires_at: null }, this.#expiry.values]);
    if (content !== this.#sent?.content) this.#sent = { content, body, key: randomKey() };
    const options = { body: this.#sent.body, key: this.#sent.key, signal: this.#leaving.signal };
    let record;
    try {
      ({ record } = await this.#portal.session.call("POST", "access-tokens", options));
    } catch (found) {
      // Refused: nothing was created, so the next attempt is another one.
      if (found.status < 500 && found.status) this.#sent = null;
      throw found;
    }
    this.#portal.created(record);
  }

  async #modify(chosen) {
    const changes = this.#changes(chosen);
    const { signal } = this.#leaving;
    if (!Object.keys(changes).length) return this.#portal.showList();
    if ("expires_at" in changes && changes.expires_at !== null) changes.expires_at = new Date(changes.expires_at).toISOString();
    const { record } = await this.#portal.session.call("PATCH", `access-tokens/${this.#token.id}`, { body: changes, etag: this.#etag, signal });
    this.#portal.modified(record);
  }

  // The fields that differ. The form shows an expiry to the minute, and the order of lists has no meaning.
  #changes(chosen) {
    const token = this.#token, changes = {};
    if (chosen.label !== token.label.trim()) changes.label = chosen.label;
    for (const name of ["permissions", "networks", "domains"]) {
      if (new Set(chosen[name]).symmetricDifference(new Set(token[name])).size) changes[name] = chosen[name];
    }
    const stored = token.expires_at === null ? null : Date.parse(token.expires_at);
    if (!sameMinute(chosen.expires_at, stored)) changes.expires_at = chosen.expires_at;
    return changes;
  }

  #busy(is) {
    this.#submit.ariaDisabled = is ? "true" : null;
    this.#submit.ariaBusy = is ? "true" : null;
    if (is) this.#portal.say(this.#texts.of("form.working"));
  }

  // Why it wasn't saved: at the fields, or above the form.
  #failed(found) {
    if (!(found instanceof Problem)) throw found;
    const { reason, current } = found;
    if (["changed_meanwhile", "precondition_failed"].includes(reason)) return void this.#meanwhile();
    // The change was made; other nodes have yet to confirm it.
    if (reason === "not_confirmed" && current) return this.#portal.modified(current, true);
    const errors = found.errors.map(({ field, message }) => [field, this.#texts.of("errors.server", { field, message })]);
    if (reason === "permission_missing") errors.push(["permissions", this.#portal.explain(found)]);
    this.#show(errors);
    if (!errors.length) this.#tell(this.#portal.problem(found));
  }

  // Puts each error beside its field, and the first one's field in focus.
  #show(errors) {
    const places = { label: this.#label, kind: this.#kinds[0], permissions: this.#picker.first, expires_at: this.#expiry.first };
    const rows = { networks: this.#networks, domains: this.#domains };
    for (const place of Object.values(this.#problems)) complain(null, place, "");
    for (const { rows: each } of Object.values(rows)) for (const row of each) complain(row.field, row.place, "");
    complain(this.#label, this.#problems.label, "");
    this.#tell();
    let first;
    for (const [field, message] of errors) {
      const [root, at] = field.split(".");
      const row = rows[root] && [...rows[root].entries.values()][at];
      const place = row?.place ?? this.#problems[root];
      if (!place) {
        this.#tell(notice("bad", message));
        continue;
      }
      complain(row?.field ?? (root === "label" ? this.#label : null), place, message);
      first ??= row?.field ?? places[root] ?? rows[root].rows[0]?.field ?? rows[root].adder;
    }
    if (!first) return;
    this.#tell(notice("bad", h("strong", {}, this.#texts.of("errors.summary", { count: errors.length }))), false);
    first.focus();
  }

  // Shows a notice above the form, and focuses it, for it may be far from the button.
  #tell(shown, focused = true) {
    this.#notice.replaceChildren(...(shown ? [shown] : []));
    if (!shown) return;
    shown.setAttribute("role", "alert");
    shown.tabIndex = -1;
    if (focused) shown.focus();
  }

  // Someone else saved the token first: shows both versions. Saving again replaces the saved one.
  async #meanwhile() {
    const texts = this.#texts;
    let found;
    try {
      found = await this.#portal.session.call("GET", `access-tokens/${this.#token.id}`, { signal: this.#leaving.signal });
    } catch (error) {
      if (!this.#leaving.signal.aborted) this.#tell(this.#portal.problem(error));
      return;
    }
    this.#token = found.record;
    this.#etag = found.etag;
    if (found.record.status !== "active") return this.#tell(this.#portal.problem({ reason: `token_${found.record.status}` }));
    const { chosen } = this.#read(), changes = this.#changes(chosen);
    const shown = (name, value) => {
      if (name === "label") return isolated(value);
      if (name === "expires_at") return value === null ? texts.of("never") : this.#portal.time(typeof value === "number" ? value : Date.parse(value));
      return value.join(", ") || texts.of("conflict.any");
    };
    const names = { label: "form.label", permissions: "form.permissions", expires_at: "details.expires", domains: "details.domains", networks: "details.networks" };
    const cells = ["setting", "saved", "yours"].map((name) => texts.of(`conflict.${name}`));
    const rows = Object.keys(changes).map((name) => h("tr", { role: "row" },
      [texts.of(names[name]), shown(name, this.#token[name]), shown(name, changes[name])].map((content, at) => h("td", { role: "cell", "data-name": cells[at] }, content))));
    this.#tell(notice("warn",
      h("strong", {}, texts.of("conflict.title")), h("p", {}, texts.of("conflict.text")),
      h("table", { class: "versions", role: "table" },
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, cells.map((cell) => h("th", { role: "columnheader", scope: "col" }, cell)))),
        h("tbody", { role: "rowgroup" }, rows)),
      button(texts.of("conflict.discard"), { onclick: () => this.#portal.show(new TokenForm(this.#portal, { token: this.#token, etag: this.#etag })) })));
  }
}
