// Creating and editing a token: rows without a round trip, the permission picker, local times and a live
// summary.
import "./expiry.js";
import { asking, typedMeanwhile } from "./ask.js";
import { sayInBar } from "./form_bar.js";
import { showImpact } from "./impact.js";
import { pick } from "./picker.js";
import { growRows } from "./rows.js";

const form = document.querySelector("[data-token-form]");

// Summary ------------------------------------------------------------------------------------------
const ask = asking(form, "sentence", "sentence", 150);

growRows(form);
form.addEventListener("input", ask);
// A decoy has a label alone.
if (form.querySelector("[data-picker]")) {
  pick(form);
  sayInBar(form);
}
showImpact(form);
if (typedMeanwhile(form)) ask();
