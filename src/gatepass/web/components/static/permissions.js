// Permissions: what the session covers, and the picker.
import { h, icon, id } from "./dom.js";
import { worded } from "./sentence.js";

const resourceOf = (name) => name.split(":")[0];

// What a session may put into a token, and the catalogue's titles.
export class Permissions {
  #held;

  constructor(held, catalogue) {
    this.#held = new Set(held);
    this.titles = new Map(catalogue.map(({ name, title }) => [name, title]));
    // The product's own before those of Gatepass.
    const offered = catalogue.filter(({ name }) => this.covers(name)).sort((a, b) => a.built_in - b.built_in);
    this.groups = Map.groupBy(offered, ({ name }) => resourceOf(name));
  }

  covers(name) {
    return this.#held.has(name) || this.#held.has(`${resourceOf(name)}:*`);
  }

  // Whether a token can be edited here: all that it has could be given here.
  coverAll(token) {
    return token.permissions.every((name) => this.covers(name));
  }

  // Whether the catalogue still has it.
  knows(name) {
    return name.endsWith(":*")
      ? [...this.titles.keys()].some((known) => resourceOf(known) === resourceOf(name))
      : this.titles.has(name);
  }
}

// The fieldset. `problem`: the element for its error.
export class PermissionPicker {
  #texts;
  #groups = [];
  #tally;
  #filter;
  #none;

  constructor(texts, permissions, chosen, problem) {
    this.#texts = texts;
    const hint = id();
    const wildcards = [...permissions.groups.keys()].some((resource) => permissions.covers(`${resource}:*`));
    this.#tally = h("output", { class: "tally" });
    this.#none = h("p", { class: "group muted", hidden: true }, texts.of("form.noPermission"));
    this.#filter = h("input", {
      type: "search",
      class: "input",
      part: "input",
      placeholder: texts.of("form.filter"),
      "aria-label": texts.of("form.filter"),
      autocomplete: "off",
      spellcheck: "false",
      oninput: (event) => {
        event.stopPropagation();
        this.#narrow();
      },
      onkeydown: (event) => event.key === "Enter" && event.preventDefault(),
    });
    for (const [resource, members] of permissions.groups)
      this.#groups.push(this.#group(resource, members, permissions, new Set(chosen)));
    this.element = h(
      "fieldset",
      { "aria-describedby": `${hint} ${problem.id}`, oninput: () => this.#count() },
      h("legend", {}, texts.of("form.permissions")),
      h(
        "div",
        { class: "picker-head" },
        h("p", { class: "hint", id: hint }, texts.of(wildcards ? "form.permissionsHintAll" : "form.permissionsHint")),
        h("div", { class: "search" }, icon("search"), this.#filter),
        this.#tally,
      ),
      problem,
      h(
        "div",
        { class: "groups" },
        this.#groups.map(({ element }) => element),
        this.#none,
      ),
    );
    this.#count();
  }

  // The chosen names, without those that a chosen "all of" covers.
  get chosen() {
    return [...this.element.querySelectorAll("input[type=checkbox]:checked:not(:disabled)")].map(({ value }) => value);
  }

  get first() {
    return this.#groups[0]?.element.querySelector("input") ?? this.#filter;
  }

  #group(resource, members, permissions, chosen) {
    const name = worded(this.#texts, "resources", resource);
    const all = `${resource}:*`;
    const box = (permission, title, look = "") =>
      h(
        "label",
        { class: `permission ${look}` },
        h("input", { type: "checkbox", value: permission, checked: chosen.has(permission) }),
        h("span", {}, title, h("code", {}, permission)),
      );
    const wildcard = permissions.covers(all) && box(all, this.#texts.of("form.allOf", { resource: name }), "all");
    const singles = members.map(({ name, title }) => box(name, title));
    const element = h(
      "div",
      { class: "group", role: "group", "aria-label": name },
      h("div", { class: wildcard ? "" : "group-name" }, wildcard || name),
      h("div", { class: "group-list" }, singles),
    );
    return { element, wildcard, singles };
  }

  // What a chosen "all of" covers is shown as chosen, and as it was before once "all of" isn't chosen any more.
  #count() {
    for (const { wildcard, singles } of this.#groups) {
      const covered = Boolean(wildcard && wildcard.firstChild.checked);
      for (const { firstChild: box } of singles) {
        if (box.disabled === covered) continue;
        const before = box.before ?? false;
        box.before = box.checked;
        box.checked = covered || before;
        box.disabled = covered;
      }
    }
    const count = this.chosen.length;
    this.#tally.value = this.#texts.of("form.selected", { count });
    this.#tally.classList.toggle("some", count > 0);
  }

  #narrow() {
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { element, singles } of this.#groups) {
      for (const single of singles)
        single.hidden = !words.every((word) => single.textContent.toLowerCase().includes(word));
      element.hidden = singles.every((single) => single.hidden);
    }
    this.#none.hidden = this.#groups.some(({ element }) => !element.hidden);
  }
}
