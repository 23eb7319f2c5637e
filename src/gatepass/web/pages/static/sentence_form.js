// A form with a live sentence about what will be true.
import { asking, typedMeanwhile } from "./ask.js";

const form = document.querySelector("[data-sentence-form]");
const ask = asking(form, "sentence", "sentence", 50);

form.addEventListener("input", ask);
if (typedMeanwhile(form)) ask();
