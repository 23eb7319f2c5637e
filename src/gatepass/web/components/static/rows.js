// Form rows that can be added and removed: networks with a drawing of their bits, and domains.
import { button, h, icon, id } from "./dom.js";
import { drawing, format, range } from "./network_diagram.js";
import { address, fields, network } from "./networks.js";

// A field's error, beside it.
export const problem = () => h("p", { class: "problem", id: id(), hidden: true });

// Shows or, with "", removes the error of a control.
export function complain(control, place, message) {
  place.hidden = !message;
  place.replaceChildren(...(message ? [icon("warn"), h("span", {}, message)] : []));
  if (control) control.ariaInvalid = message ? "true" : null;
}

// The picture of a network and its range in words.
export function diagram(texts, found) {
  const { first, last, size, power } = range(found);
  const words =
    size === 1n
      ? texts.of("form.oneAddress", { first })
      : texts.of("form.range", { first, last, count: power || size });
  return [drawing(found), h("p", {}, words)];
}

// The network of a stored text such as "203.0.113.0/24".
export const parsed = (text) => network(...(text + "/").split("/").slice(0, 2));

// The network to offer for the visitor's address: of IPv6 the first 64 bits, as devices change the rest every day.
export function ownNetwork(text) {
  const found = text ? address(text) : null;
  return found && canonical(found.width === 128 ? { ...found, bits: 64 } : { ...found, bits: 32 });
}

// "203.0.113.0/24", or the address alone if all bits are checked.
function canonical(found) {
  const first = range(found).first;
  return found.bits === found.width ? first : `${first}/${found.bits}`;
}

class Rows {
  // `words`: the names of the texts `add`, `remove` and `field`.
  constructor(texts, words, values, more = []) {
    this.texts = texts;
    this.words = words;
    this.rows = [];
    this.list = h("div", { class: "rows" });
    this.adder = button(texts.of(words.add), { drawn: "plus", onclick: () => this.add().focus() });
    this.element = h("div", { class: "rows" }, this.list, h("div", { class: "buttons start" }, this.adder, more));
    for (const value of values) this.add(value);
  }

  // Adds a row behind `after` or at the end; returns its first field.
  add(value, after) {
    const row = this.make(value);
    row.place = problem();
    row.field.setAttribute("aria-describedby", row.place.id);
    row.element.append(
      button("", {
        look: "quiet square",
        drawn: "minus",
        "aria-label": this.texts.of(this.words.remove),
        onclick: () => this.remove(row),
      }),
      h("div", { class: "wide" }, row.place, row.more),
    );
    this.rows.splice(after ? this.rows.indexOf(after) + 1 : this.rows.length, 0, row);
    after ? after.element.after(row.element) : this.list.append(row.element);
    changed(row.element);
    return row.field;
  }

  remove(row) {
    const at = this.rows.indexOf(row);
    this.rows.splice(at, 1);
    row.element.remove();
    ((this.rows[at] ?? this.rows[at - 1])?.field ?? this.adder).focus();
    changed(this.list);
  }

  // The entries as the API takes them, each once, with the row that each is from.
  get entries() {
    const found = new Map();
    for (const row of this.rows) {
      const text = row.text();
      if (text && !found.has(text)) found.set(text, row);
    }
    return found;
  }

  // What is in the fields, to make the same rows again.
  get values() {
    return this.rows.map((row) => row.value());
  }
}

export class NetworkRows extends Rows {
  constructor(texts, values, own) {
    const words = { add: "form.addNetwork", remove: "form.removeNetwork" };
    super(
      texts,
      words,
      values,
      own &&
        button(texts.of(own.includes("/") ? "form.addMyNetwork" : "form.addMyAddress", { network: own }), {
          look: "quiet",
          onclick: () => this.add(own.split("/")).focus(),
        }),
    );
    if (own?.includes("/")) this.element.append(h("p", { class: "hint" }, texts.of("form.myNetworkHint")));
  }

  make([text = "", bits = ""] = []) {
    const field = h("input", {
      class: "input mono",
      part: "input",
      value: text,
      placeholder: this.texts.of("form.addressExample"),
      "aria-label": this.texts.of("form.address"),
      autocomplete: "off",
      spellcheck: "false",
    });
    const count = h("input", {
      class: "input mono",
      part: "input",
      value: bits,
      placeholder: this.texts.of("form.allBits"),
      "aria-label": this.texts.of("form.bits"),
      autocomplete: "off",
      spellcheck: "false",
    });
    const more = h("div", { class: "diagram" });
    const draw = () => {
      const [address, typedBits, others] = field.value.split("/");
      if (/^\s*\d*\s*$/.test(typedBits ?? "x") && others === undefined) {
        // 10.0.0.0/8 typed into the first field fills both.
        field.value = address.trim();
        count.value = typedBits.trim();
        count.focus();
      }
      const found = network(field.value, count.value);
      more.replaceChildren(...(found ? diagram(this.texts, found) : []));
    };
    const row = {
      element: h(
        "div",
        { class: "entry network", oninput: draw, onpaste: (event) => this.#paste(event, row) },
        field,
        h("span", { class: "slash", "aria-hidden": "true" }, "/"),
        count,
      ),
      field,
      more,
      value: () => [field.value, count.value],
      // Notations that only the server reads are left to it.
      text: () => {
        const found = network(field.value, count.value);
        const typed = [field.value.trim(), count.value.trim()];
        return found ? canonical(found) : typed.filter(Boolean).join("/");
      },
      wrong: () => Boolean(field.value.trim() || count.value.trim()) && !network(field.value, count.value),
    };
    if (text) draw();
    return row;
  }

  // Several pasted lines become a row each.
  #paste(event, row) {
    const lines = (event.clipboardData?.getData("text") ?? "")
      .split(/\r\n|\r|\n/)
      .map((line) => line.trim())
      .filter(Boolean);
    if (lines.length < 2) return;
    event.preventDefault();
    if (!row.value().some(Boolean)) this.remove(row);
    let last;
    for (const line of lines) last = this.add((fields(line) ?? [line]).slice(0, 2));
    last.focus();
  }
}

export class DomainRows extends Rows {
  constructor(texts, values) {
    super(texts, { add: "form.addDomain", remove: "form.removeDomain" }, values);
  }

  make(domain = "") {
    const field = h("input", {
      class: "input mono",
      part: "input",
      value: domain,
      placeholder: this.texts.of("form.domainExample"),
      "aria-label": this.texts.of("form.domain"),
      autocomplete: "off",
      spellcheck: "false",
      inputmode: "url",
    });
    return {
      element: h("div", { class: "entry" }, field),
      field,
      value: () => field.value,
      text: () => field.value.trim(),
      wrong: () => false,
    };
  }
}

const changed = (element) => element.dispatchEvent(new Event("input", { bubbles: true }));
