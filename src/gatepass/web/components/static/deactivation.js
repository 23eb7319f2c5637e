// The confirmation of Deactivate Permanently. If the token was used within the last hour, its label must be typed.
import { button, h, id, isolated } from "./dom.js";
import { complain, problem } from "./rows.js";
import { Problem } from "./session.js";
import { HOUR } from "./texts.js";

// Control characters that reorder text, and characters that can't be seen: a label with these can't be typed as shown.
const REORDERING = /[\u202a-\u202e\u2066-\u2069]/,
  VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u;

// Ignores spaces around and between words, and invisible characters.
const plain = (text) =>
  text
    .replace(/\p{Cf}/gu, "")
    .split(/\s+/)
    .filter(Boolean)
    .join(" ")
    .normalize();

// Asks about `token` and deactivates it.
export function confirmDeactivation(portal, token) {
  const { texts, session } = portal;
  const titled = id();
  const labelled = id();
  const place = problem();
  const leaving = new AbortController();
  const used = token.last_used;
  const inUse = used && Date.now() - Date.parse(used.at) < HOUR;
  const typeable = VISIBLE.test(token.label) && !REORDERING.test(token.label);
  const wanted = typeable ? token.label.trim() : token.id;
  const field =
    inUse &&
    h("input", {
      id: labelled,
      class: "input",
      part: "input",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": place.id,
    });
  const failed = h("div", {});
  const confirm = button(texts.of("deactivation.confirm"), { look: "danger", type: "submit" });
  const use = () => {
    if (!used) return texts.of("deactivation.neverUsed");
    const values = { time: portal.time(used.at, true), address: h("span", { class: "mono" }, used.address) };
    return texts.parts(
      !inUse ? "deactivation.lastUsed" : used.address ? "deactivation.inUseFrom" : "deactivation.inUse",
      values,
    );
  };
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
      { class: "stack", novalidate: true, onsubmit: send },
      h("h2", { id: titled }, texts.parts("deactivation.title", { label: isolated(token.label) })),
      h(
        "p",
        {},
        texts.of("deactivation.text"),
        " ",
        h("strong", {}, texts.of("deactivation.forGood")),
        " ",
        texts.of("deactivation.consequence"),
      ),
      h("p", { class: inUse ? "" : "muted" }, use()),
      field &&
        h(
          "div",
          { class: "field" },
          h(
            "label",
            { for: labelled, class: "name" },
            texts.parts(typeable ? "deactivation.typeLabel" : "deactivation.typeId", { label: isolated(wanted) }),
          ),
          field,
          place,
        ),
      failed,
      h("div", { class: "buttons" }, button(texts.of("cancel"), { onclick: () => dialog.close() }), confirm),
    ),
  );

  async function send(event) {
    event.preventDefault();
    if (confirm.ariaDisabled === "true") return;
    const mistyped = field && plain(field.value) !== plain(wanted);
    if (field) complain(field, place, mistyped ? texts.of("deactivation.mistyped") : "");
    if (mistyped) return field.focus();
    confirm.ariaDisabled = "true";
    confirm.ariaBusy = "true";
    try {
      const { record } = await session.call("POST", `access-tokens/${token.id}/deactivate`, {
        body: {},
        signal: leaving.signal,
      });
      dialog.close();
      portal.deactivated(record);
    } catch (found) {
      if (leaving.signal.aborted) return;
      if (!(found instanceof Problem)) throw found;
      if (found.reason === "not_confirmed" && found.current) {
        dialog.close();
        portal.deactivated(found.current, true);
      } else failed.replaceChildren(portal.problem(found));
    } finally {
      confirm.ariaDisabled = confirm.ariaBusy = null;
    }
  }

  portal.root.append(dialog);
  dialog.showModal();
}
