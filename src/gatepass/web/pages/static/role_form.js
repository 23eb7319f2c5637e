// The forms of roles and of a user's role: a live summary.
import { asking, typedMeanwhile } from "./ask.js";
import { sayInBar } from "./form_bar.js";
import { showImpact } from "./impact.js";
import { pick } from "./picker.js";

const form = document.querySelector("[data-role-form]");
const ask = asking(form, "sentence", "sentence", 150);

if (form.querySelector("[data-picker]")) {
  pick(form);
  sayInBar(form);
}
form.addEventListener("input", ask);
showImpact(form);
if (typedMeanwhile(form)) ask();
