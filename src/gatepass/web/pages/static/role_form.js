// Roles, and who has which: the sentence before the form's end follows what is chosen.
import { asking, typedMeanwhile } from "./ask.js";
import { pick } from "./picker.js";

const form = document.querySelector("[data-role-form]");
const ask = asking(form, "sentence", "sentence", 150);

if (form.querySelector("[data-picker]")) pick(form);
form.addEventListener("input", ask);
if (typedMeanwhile(form)) ask();
