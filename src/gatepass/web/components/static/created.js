// A new token's text, shown this once.
import { copyButton } from "./copying.js";
import { button, h, id, isolated, notice } from "./dom.js";
import { ability } from "./sentence.js";

export class Created {
  #portal;
  #record;
  #text;

  constructor(portal, record) {
    this.#portal = portal;
    this.#record = record;
    this.#build();
  }

  redrawn() {
    return new Created(this.#portal, this.#record);
  }

  focus() {
    this.element.querySelector("h2").focus();
  }

  // Forgets the text, so that nothing brings it back to a page that was left.
  leave() {
    this.#record.token = "";
    this.#text.textContent = "";
  }

  #build() {
    const { texts } = this.#portal;
    const token = this.#record;
    const titled = id();
    this.#text = h("output", { class: "mono", part: "secret", "aria-labelledby": titled }, token.token);
    this.element = h(
      "div",
      { class: "stack created" },
      h(
        "div",
        {},
        h("h2", { tabindex: -1, part: "heading" }, texts.parts("created.title", { label: isolated(token.label) })),
        h("p", {}, ability(this.#portal, token)),
      ),
      token.status === "pending" && notice("info", texts.of("details.ended.pending")),
      h(
        "div",
        { class: "card body stack", part: "card" },
        h(
          "div",
          { class: "stack tight" },
          h("h3", { id: titled }, texts.of("created.text")),
          h("div", { class: "secret" }, this.#text, copyButton(texts, this.#text, texts.of("copy"), "primary")),
        ),
        notice("warn", h("strong", {}, texts.of("created.once")), " ", texts.of("created.onceHint")),
        h(
          "div",
          { class: "buttons start" },
          button(texts.of("created.stored"), { drawn: "check", onclick: () => this.#portal.showList(this.#record) }),
        ),
      ),
    );
  }
}
