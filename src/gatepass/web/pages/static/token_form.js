// Making and editing a token: rows without a round trip, choosing permissions, the viewer's time
// zone, and the sentence before the form's end.
import { asking, typedMeanwhile } from "./ask.js";
import { pick } from "./picker.js";
import { growRows } from "./rows.js";

const form = document.querySelector("[data-token-form]");

// Expire In ----------------------------------------------------------------------------------------
const moment = form.querySelector("#expires-on");
const offset = form.querySelector("[data-offset]");
const local = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

if (offset.value === "" && moment.value) moment.value = local(new Date(moment.value + "Z"));
form.querySelector("[data-zone]").textContent = `(${Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ")})`;

function keepOffset() {
  const typed = new Date(moment.value || Date.now());
  if (!isNaN(typed)) offset.value = String(-typed.getTimezoneOffset());
}

// The sentence -------------------------------------------------------------------------------------
const ask = asking(form, "sentence", "sentence", 150);

growRows(form);
form.addEventListener("input", () => {
  keepOffset();
  ask();
});
pick(form);
keepOffset();
if (typedMeanwhile(form)) ask();
