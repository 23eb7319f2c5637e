// The form of the token policy: a live count of the tokens that break it.
import { asking, typedMeanwhile } from "./ask.js";
import { pick } from "./picker.js";

const form = document.querySelector("[data-policy-form]");

// Visitors who may not change the policy have no form.
if (form) {
  const ask = asking(form, "sentence", "sentence", 250);
  pick(form);
  form.addEventListener("input", ask);
  if (typedMeanwhile(form)) ask();
}
