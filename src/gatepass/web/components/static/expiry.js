// Expire In: presets, never, or an exact date and time in the viewer's time zone.
import { h } from "./dom.js";
import { DAY, HOUR, MINUTE } from "./texts.js";

const PRESETS = [
  ["1h", 1, "hour", HOUR],
  ["1d", 1, "day", DAY],
  ["7d", 7, "day", 7 * DAY],
  ["30d", 30, "day", 30 * DAY],
  ["90d", 90, "day", 90 * DAY],
  ["1y", 1, "year", 365 * DAY],
];

// A time as <input type="datetime-local"> takes it.
const local = (at) => new Date(at - new Date(at).getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);

export class Expiry {
  #choices;
  #moment;
  #exactly;
  #errors;
  #latest;

  // `values`: {choice, moment}, as `values` returns them. `latest`: the latest expiry that the company admits, or null.
  // `problem`: the element for its error.
  constructor(texts, values, latest, problem) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");
    this.#latest = latest ?? Infinity;
    const within = ([value, , , length]) => value === values.choice || Date.now() + length < this.#latest + MINUTE;
    const names = PRESETS.filter(within).map(([value, count, unit]) => [value, texts.duration(count, unit)]);
    if (!latest || values.choice === "never") names.push(["never", texts.of("never")]);
    names.push(["at", texts.of("form.exactDate")]);
    this.#errors = { future: texts.of("errors.future"), date: texts.of("errors.date") };
    this.#choices = names.map(([value]) =>
      h("input", { type: "radio", name: "expire", value, checked: value === values.choice }),
    );
    this.#moment = h("input", {
      type: "datetime-local",
      class: "input",
      part: "input",
      value: values.moment,
      max: "9999-12-31T23:59",
    });
    this.#exactly = h(
      "label",
      { class: "field exactly" },
      h("span", { class: "name" }, texts.of("form.dateAndTime", { zone })),
      this.#moment,
      !latest && h("span", { class: "hint" }, texts.of("form.dateHint")),
    );
    const show = () => (this.#exactly.hidden = this.values.choice !== "at");
    this.element = h(
      "fieldset",
      { "aria-describedby": problem.id, onchange: show },
      h("legend", {}, texts.of("form.expireIn")),
      h(
        "div",
        { class: "segments" },
        this.#choices.map((choice, at) => h("label", { part: "choice" }, choice, names[at][1])),
      ),
      this.#exactly,
      latest && h("p", { class: "hint" }, texts.of("form.latest", { time: texts.exact(latest) })),
      problem,
    );
    show();
  }

  // The form's values for a new token, which may live for `most` days; null is no limit.
  static ofNew(most) {
    const preset = PRESETS.findLast(([, , , length]) => length <= (most ?? 0) * DAY);
    return { choice: preset?.[0] ?? "never", moment: "" };
  }

  // The form's values for a stored expiry.
  static of(expiresAt) {
    return expiresAt === null
      ? { choice: "never", moment: "" }
      : { choice: "at", moment: local(Date.parse(expiresAt)) };
  }

  get values() {
    return { choice: this.#choices.find(({ checked }) => checked).value, moment: this.#moment.value };
  }

  // {at: an ISO time or null, error: a text or ""}.
  get chosen() {
    const { choice, moment } = this.values;
    const preset = PRESETS.find(([value]) => value === choice);
    // Before the latest one, so that a clock that is a little ahead makes no difference.
    if (preset)
      return { at: new Date(Math.min(Date.now() + preset[3], this.#latest - MINUTE)).toISOString(), error: "" };
    // What a browser can't read as a date has no value, like a blank field.
    if (this.#moment.validity.badInput && choice === "at") return { at: null, error: this.#errors.date };
    if (choice === "never" || !moment) return { at: null, error: "" };
    const at = Date.parse(moment);
    if (Number.isNaN(at)) return { at: null, error: this.#errors.date };
    return { at: new Date(at).toISOString(), error: at > Date.now() ? "" : this.#errors.future };
  }

  get first() {
    return this.values.choice === "at" ? this.#moment : this.#choices.find(({ checked }) => checked);
  }
}

// Whether two times are in the same minute, which is all that the field shows.
export const sameMinute = (one, other) => one?.slice(0, 16) === other?.slice(0, 16);
