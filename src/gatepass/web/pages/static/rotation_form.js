// Rotating a token: a live sentence about what will be true of the old one.
import { asking, typedMeanwhile } from "./ask.js";

const form = document.querySelector("[data-rotation-form]");
const ask = asking(form, "sentence", "sentence", 50);

form.addEventListener("input", ask);
if (typedMeanwhile(form)) ask();
