// Replacing a token: asks when the old one closes. The new one's text is then shown once.
import { button, h, id, isolated } from "./dom.js";
import { Problem, randomKey } from "./session.js";

const DAY_S = 86_400;
// What is sent for each choice.
const CLOSINGS = {
  when_silent: { silent_for: DAY_S },
  after: { after: DAY_S },
  now: {},
};

// Asks about `token` and replaces it.
export function confirmRotation(portal, token) {
  const { texts, session } = portal;
  const titled = id();
  const leaving = new AbortController();
  const keys = {};
  const failed = h("div", {});
  const sentence = h("p", { role: "status" });
  const confirm = button(texts.of("rotation.confirm"), { look: "primary", type: "submit" });
  const choices = Object.keys(CLOSINGS).map((value, at) =>
    h("input", { type: "radio", name: "close", value, checked: at === 0 }),
  );
  const chosen = () => choices.find(({ checked }) => checked).value;
  const say = () => (sentence.textContent = texts.of(`rotation.sentences.${chosen()}`));
  const dialog = h(
    "dialog",
    {
      part: "dialog",
      "aria-labelledby": titled,
      onclose: () => {
        leaving.abort();
        dialog.remove();
      },
    },
    h(
      "form",
      { class: "stack", onsubmit: send },
      h("h2", { id: titled }, texts.parts("rotation.title", { label: isolated(token.label) })),
      h("p", {}, texts.of("rotation.text")),
      h(
        "fieldset",
        { onchange: say },
        h("legend", {}, texts.of("rotation.closes")),
        h(
          "div",
          { class: "segments" },
          choices.map((choice) => h("label", { part: "choice" }, choice, texts.of(`rotation.choices.${choice.value}`))),
        ),
      ),
      sentence,
      failed,
      h("div", { class: "buttons" }, button(texts.of("cancel"), { onclick: () => dialog.close() }), confirm),
    ),
  );

  async function send(event) {
    event.preventDefault();
    if (confirm.ariaDisabled === "true") return;
    confirm.ariaDisabled = confirm.ariaBusy = "true";
    const close = chosen();
    try {
      const { record } = await session.call("POST", `access-tokens/${token.id}/rotate`, {
        body: { close, ...CLOSINGS[close] },
        // A repeated attempt replaces it once, and gets the same text.
        key: (keys[close] ??= randomKey()),
        signal: leaving.signal,
      });
      dialog.close();
      portal.created(record);
    } catch (found) {
      if (leaving.signal.aborted) return;
      if (!(found instanceof Problem)) throw found;
      failed.replaceChildren(portal.problem(found));
    } finally {
      confirm.ariaDisabled = confirm.ariaBusy = null;
    }
  }

  say();
  portal.root.append(dialog);
  dialog.showModal();
}
