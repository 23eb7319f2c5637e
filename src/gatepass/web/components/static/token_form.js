// Creating and editing a token.
import { conflict } from "./conflict.js";
import { button, h, id, isolated, notice } from "./dom.js";
import { Expiry, sameMinute } from "./expiry.js";
import { PermissionPicker } from "./permissions.js";
import { complain, DomainRows, NetworkRows, ownNetwork, problem } from "./rows.js";
import { ability } from "./sentence.js";
import { Problem, randomKey } from "./session.js";
import { DAY } from "./texts.js";

// Screen readers hear the summary once the form rests.
const PAUSE_MS = 200;
const FIELDS = ["label", "kind", "permissions", "expires_at", "networks", "domains", "unused_days"];
const MOST_UNUSED_DAYS = 365;
const NEW = {
  label: "",
  kind: "api",
  permissions: [],
  networks: [],
  domains: [],
};

// The form's values for a record.
export const valuesOf = (token) => ({
  label: token.label,
  kind: token.kind,
  permissions: token.permissions,
  expire: Expiry.of(token.expires_at),
  networks: token.networks.map((network) => network.split("/")),
  domains: token.domains,
  unused: String(token.unused_days ?? ""),
});

export class TokenForm {
  #portal;
  #texts;
  #token;
  #etag;
  #values;
  #leaving = new AbortController();
  #label;
  #kinds;
  #picker;
  #expiry;
  #unused;
  #networks;
  #domains;
  #problems = {};
  #notice;
  #sentence;
  #submit;
  #waiting;
  // What was sent to create the token, whose key makes the server create one however often it is sent.
  #sent = null;

  // `token` and `etag` of the token to edit; without them the form creates one. `values`: as `values` returns them.
  constructor(portal, { token = null, etag = null, values = null } = {}) {
    this.#portal = portal;
    this.#texts = portal.texts;
    this.#token = token;
    this.#etag = etag;
    const { longest_life_days: most, unused_days: days } = portal.me.token_policy;
    this.#values =
      values ?? (token ? valuesOf(token) : { ...NEW, expire: Expiry.ofNew(most), unused: String(days ?? "") });
    this.element = this.#build();
    this.#summarize();
  }

  redrawn() {
    const { label, kind } = this.#chosenPlainly();
    const values = {
      label,
      kind,
      permissions: this.#picker.chosen,
      expire: this.#expiry.values,
      networks: this.#networks.values,
      domains: this.#domains.values,
      unused: this.#unused.value,
    };
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
    const texts = this.#texts;
    const title = this.#token
      ? texts.parts("form.edit", { label: isolated(this.#token.label) })
      : texts.of("form.create");
    const back = () => this.#portal.showList();
    this.#notice = h("div", { class: "notices" });
    this.#sentence = h("p", { class: "sentence", role: "status" });
    this.#submit = button(texts.of(this.#token ? "form.save" : "form.submit"), { look: "primary", type: "submit" });
    const fields = this.#fields();
    const summary = h(
      "aside",
      { class: "card summary", part: "card summary" },
      h("h3", {}, texts.of(this.#token ? "form.afterSaving" : "form.summary")),
      this.#sentence,
      !this.#token && notice("info", texts.of("form.once")),
      h("div", { class: "buttons start" }, this.#submit, button(texts.of("cancel"), { look: "quiet", onclick: back })),
    );
    const listeners = { oninput: () => this.#pause(), onsubmit: (event) => this.#save(event) };
    return h(
      "div",
      { class: "stack" },
      h(
        "div",
        {},
        button(texts.of("back"), { look: "quiet back", drawn: "left", onclick: back }),
        h("h2", { tabindex: -1, part: "heading" }, title),
      ),
      h("form", { class: "columns", novalidate: true, autocomplete: "off", ...listeners }, fields, summary),
    );
  }

  // The sections, and above them what is wrong with them.
  #fields() {
    const texts = this.#texts;
    const { permissions, me } = this.#portal;
    const { label, kind, permissions: chosen, expire, networks, domains, unused } = this.#values;
    for (const field of FIELDS) this.#problems[field] = problem();
    this.#kinds = ["api", "ui"].map((each) =>
      h("input", { type: "radio", name: "kind", value: each, checked: each === kind }),
    );
    const known = chosen.filter((name) => permissions.knows(name));
    const forgotten = chosen.filter((name) => !permissions.knows(name));
    this.#picker = new PermissionPicker(texts, permissions, known, this.#problems.permissions);
    const { longest_life_days: most, networks_required: required } = me.token_policy;
    const since = this.#token ? Date.parse(this.#token.created_at) : Date.now();
    this.#expiry = new Expiry(texts, expire, most && since + most * DAY, this.#problems.expires_at);
    this.#networks = new NetworkRows(texts, networks, ownNetwork(me.address));
    this.#domains = new DomainRows(texts, domains);
    const examples = { wildcard: h("code", {}, "*.example.com"), local: h("code", {}, "localhost:3000") };
    const section = (content, attributes) => h("section", { part: "section", ...attributes }, content);
    const forUi = section(this.#optional("domains", this.#domains, examples));
    const show = () => (forUi.hidden = this.#kind() !== "ui");
    show();
    return h(
      "div",
      { class: "stack" },
      this.#notice,
      forgotten.length > 0 && notice("warn", texts.of("form.forgotten", { permissions: texts.list(forgotten) })),
      h(
        "div",
        { class: "card sections", part: "card" },
        section(this.#labelField(label)),
        !this.#token && section(this.#kindField(), { onchange: show }),
        section(this.#picker.element),
        section(this.#expiry.element),
        section(this.#unusedField(unused)),
        forUi,
        section(this.#optional("networks", this.#networks, {}, required)),
      ),
    );
  }

  #labelField(value) {
    const texts = this.#texts;
    const labelled = id();
    const hint = id();
    this.#label = h("input", {
      id: labelled,
      class: "input",
      part: "input",
      dir: "auto",
      value,
      maxlength: 100,
      autocomplete: "off",
      placeholder: texts.of("form.labelExample"),
      "aria-describedby": `${hint} ${this.#problems.label.id}`,
    });
    return h(
      "div",
      { class: "field" },
      h("label", { for: labelled, class: "name" }, texts.of("form.label")),
      this.#label,
      h("p", { class: "hint", id: hint }, texts.of("form.labelHint")),
      this.#problems.label,
    );
  }

  #unusedField(value) {
    const texts = this.#texts;
    const most = this.#portal.me.token_policy.unused_days;
    const labelled = id();
    const hint = id();
    this.#unused = h("input", {
      id: labelled,
      class: "input days",
      part: "input",
      value,
      inputmode: "numeric",
      autocomplete: "off",
      "aria-describedby": `${hint} ${this.#problems.unused_days.id}`,
    });
    return h(
      "div",
      { class: "field" },
      h("label", { for: labelled, class: "name" }, texts.of("form.unused")),
      this.#unused,
      h("p", { class: "hint", id: hint }, most ? texts.of("form.unusedMost", { count: most }) : texts.of("form.unusedHint")),
      this.#problems.unused_days,
    );
  }

  #kindField() {
    const texts = this.#texts;
    const choice = (box, name) =>
      h(
        "label",
        { class: "choice", part: "choice" },
        box,
        h(
          "span",
          {},
          h("strong", {}, texts.of(`form.${name}`)),
          h("span", { class: "hint" }, texts.of(`form.${name}Hint`)),
        ),
      );
    return h(
      "fieldset",
      {},
      h("legend", {}, texts.of("form.kind")),
      h(
        "div",
        { class: "choices" },
        this.#kinds.map((box) => choice(box, box.value)),
      ),
      this.#problems.kind,
    );
  }

  // `required`: whether the company's policy asks for networks.
  #optional(name, rows, values, required = false) {
    const texts = this.#texts;
    const hint = id();
    return h(
      "fieldset",
      { "aria-describedby": `${hint} ${this.#problems[name].id}` },
      h(
        "legend",
        {},
        texts.of(`form.${name}`),
        !required && h("span", { class: "optional" }, " · ", texts.of("form.optional")),
      ),
      h("p", { class: "hint", id: hint }, texts.parts(`form.${name}Hint`, values)),
      required && h("p", { class: "hint" }, texts.of("form.networksRequired")),
      this.#problems[name],
      rows.element,
    );
  }

  #kind() {
    return this.#kinds.find(({ checked }) => checked).value;
  }

  #chosenPlainly() {
    return { label: this.#label.value, kind: this.#kind() };
  }

  // What the form denotes, and its errors: [field, control, message].
  #read() {
    const texts = this.#texts;
    const errors = [];
    const { at, error } = this.#expiry.chosen;
    const { label, kind } = this.#chosenPlainly();
    const unused = this.#unused.value.trim();
    const days = unused === "" ? null : Number(unused);
    const chosen = {
      label: label.trim(),
      kind,
      permissions: this.#picker.chosen,
      networks: [...this.#networks.entries.keys()],
      // For API hides the domains: they are kept in case the user switches back, but not used.
      domains: kind === "ui" ? [...this.#domains.entries.keys()] : [],
      expires_at: at,
      unused_days: days,
    };
    if (!chosen.label) errors.push(["label", texts.of("errors.label")]);
    if (!chosen.permissions.length) errors.push(["permissions", texts.of("errors.permissions")]);
    if (error) errors.push(["expires_at", error]);
    if (days !== null && !(Number.isInteger(days) && days >= 1 && days <= MOST_UNUSED_DAYS))
      errors.push(["unused_days", texts.of("errors.unused", { most: MOST_UNUSED_DAYS })]);
    return { chosen, errors };
  }

  #pause() {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.#summarize(), PAUSE_MS);
  }

  // The sentence, or the input that it lacks.
  #summarize() {
    const texts = this.#texts;
    const { chosen, errors } = this.#read();
    const wrong = this.#networks.rows.filter((row) => row.wrong()).length;
    const lacking = new Map(errors);
    let missing = "";
    if (wrong) missing = texts.of("errors.networks", { count: wrong });
    else if (lacking.has("permissions"))
      missing = texts.of(lacking.has("label") ? "errors.both" : "errors.permissions");
    else missing = lacking.get("expires_at") ?? lacking.get("unused_days") ?? "";
    const parts = missing ? [missing] : ability(this.#portal, chosen);
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
    // A preset counts from the first attempt, so that a repeated one sends the same.
    const content = JSON.stringify([{ ...chosen, expires_at: null }, this.#expiry.values]);
    if (content !== this.#sent?.content) this.#sent = { content, body: chosen, key: randomKey() };
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
    const { record } = await this.#portal.session.call("PATCH", `access-tokens/${this.#token.id}`, {
      body: changes,
      etag: this.#etag,
      signal,
    });
    this.#portal.modified(record);
  }

  // The fields that differ. The form shows an expiry to the minute, and the order of lists has no meaning.
  #changes(chosen) {
    const token = this.#token;
    const changes = {};
    if (chosen.label !== token.label.trim()) changes.label = chosen.label;
    for (const name of ["permissions", "networks", "domains"]) {
      if (new Set(chosen[name]).symmetricDifference(new Set(token[name])).size) changes[name] = chosen[name];
    }
    if (chosen.unused_days !== token.unused_days) changes.unused_days = chosen.unused_days;
    if (!sameMinute(chosen.expires_at, token.expires_at)) changes.expires_at = chosen.expires_at;
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
    const errors = found.errors.map(({ field, message }) => [
      field,
      this.#texts.of("errors.server", { field, message }),
    ]);
    if (reason === "permission_missing") errors.push(["permissions", this.#portal.explain(found)]);
    this.#show(errors);
    if (!errors.length) this.#tell(this.#portal.problem(found));
  }

  // Puts each error beside its field, and the first one's field in focus.
  #show(errors) {
    const places = {
      label: this.#label,
      kind: this.#kinds[0],
      permissions: this.#picker.first,
      expires_at: this.#expiry.first,
      unused_days: this.#unused,
    };
    const inputs = { label: this.#label, unused_days: this.#unused };
    const rows = { networks: this.#networks, domains: this.#domains };
    for (const place of Object.values(this.#problems)) complain(null, place, "");
    for (const { rows: each } of Object.values(rows)) for (const row of each) complain(row.field, row.place, "");
    for (const [field, input] of Object.entries(inputs)) complain(input, this.#problems[field], "");
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
      complain(row?.field ?? inputs[root] ?? null, place, message);
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
      found = await this.#portal.session.call("GET", `access-tokens/${this.#token.id}`, {
        signal: this.#leaving.signal,
      });
    } catch (error) {
      if (!this.#leaving.signal.aborted) this.#tell(this.#portal.problem(error));
      return;
    }
    this.#token = found.record;
    this.#etag = found.etag;
    if (found.record.status !== "active")
      return this.#tell(this.#portal.problem({ reason: `token_${found.record.status}` }));
    const again = () => this.#portal.show(new TokenForm(this.#portal, { token: this.#token, etag: this.#etag }));
    this.#tell(conflict(this.#portal, this.#token, this.#changes(this.#read().chosen), again));
  }
}
