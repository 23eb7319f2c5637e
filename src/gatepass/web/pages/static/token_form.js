// Creating and editing a token: rows without a round trip, the permission picker, local times and a live
// summary.
import { asking, typedMeanwhile } from "./ask.js";
import { pick } from "./picker.js";
import { growRows } from "./rows.js";
import { fieldValue, zone } from "./times.js";

const form = document.querySelector("[data-token-form]");

// Expire In ----------------------------------------------------------------------------------------
const moment = form.querySelector("#expires-on");
const offset = form.querySelector("[data-offset]");

if (offset.value === "" && moment.value) moment.value = fieldValue(new Date(moment.value + "Z"));
form.querySelector("[data-zone]").textContent = `(${zone})`;

function keepOffset() {
  const typed = new Date(moment.value || Date.now());
  if (!isNaN(typed)) offset.value = String(-typed.getTimezoneOffset());
}

// Summary ------------------------------------------------------------------------------------------
const ask = asking(form, "sentence", "sentence", 150);

growRows(form);
form.addEventListener("input", () => {
  keepOffset();
  ask();
});
pick(form);
keepOffset();
if (typedMeanwhile(form)) ask();
