// Why a call was refused: the ten checks down to the one that refused it, and what would allow it.
import { button, h, icon, id, notice } from "./dom.js";

const DRAWN = { passed: "check", failed: "warn", not_reached: "minus", not_applicable: "minus" };
// What the form of a token can change.
const CHANGEABLE = ["networks", "domains", "permissions", "expires_at"];

// The button that opens the explanation of a refused call, and the place for it.
export function why(portal, token, call, named) {
  const { texts } = portal;
  const place = h("div", { id: id(), class: "why", hidden: true });
  const opener = button(texts.of("why.open"), {
    look: "compact",
    "aria-label": texts.of("why.openNamed", { call: named }),
    "aria-expanded": "false",
    "aria-controls": place.id,
    onclick: () => {
      place.hidden = !place.hidden;
      opener.ariaExpanded = String(!place.hidden);
      if (!place.firstChild) load();
    },
  });

  async function load() {
    place.replaceChildren(h("p", { class: "muted" }, texts.of("loading")));
    try {
      const { record } = await portal.session.call("GET", `decisions/${call.decision}`);
      place.replaceChildren(...explained(portal, token, record.explanation));
    } catch (problem) {
      place.replaceChildren(portal.problem(problem, load));
    }
  }
  return [opener, place];
}

function explained(portal, token, { allowed, checks, fixes }) {
  const { texts } = portal;
  const check = ({ number, name, outcome, detail }) =>
    h(
      "li",
      { class: outcome },
      icon(DRAWN[outcome]),
      h(
        "div",
        {},
        h("strong", {}, texts.of("why.check", { number, name })),
        h("span", { class: "only-read-aloud" }, ` ${texts.of(`why.outcomes.${outcome}`)} `),
        detail && h("p", { class: "muted" }, texts.of("why.detail", { number, detail, outcome })),
      ),
    );
  // The form opens with the change made, to be looked at and saved.
  const fix = ({ fix, summary, change }) =>
    h(
      "li",
      {},
      h("span", {}, texts.of("why.fix", { fix, summary })),
      editable(portal, token, change) &&
        button(texts.of("edit"), { look: "compact", drawn: "pencil", onclick: () => portal.edit(token, change) }),
    );
  return [
    allowed && notice("good", texts.of("why.allowed")),
    h("ol", { class: "plain checks" }, checks.map(check)),
    fixes.length > 0 && h("ul", { class: "plain fixes" }, fixes.map(fix)),
  ].filter(Boolean);
}

const editable = ({ permissions }, token, change) =>
  token.status === "active" &&
  permissions.coverAll({ permissions: change.permissions ?? token.permissions }) &&
  Object.keys(change).every((name) => CHANGEABLE.includes(name));
