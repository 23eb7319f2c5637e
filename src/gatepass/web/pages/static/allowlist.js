// A company's allowlist: rows without a round trip, and a live preview of the list's effect.
import { asking, typedMeanwhile } from "./ask.js";
import { showImpact } from "./impact.js";
import { growRows } from "./rows.js";

const form = document.querySelector("[data-allowlist-form]");
// A long text is sent in full each time, so ask less often.
const ask = asking(form, "reach", "reach", form.elements.text ? 600 : 200);

growRows(form);
form.addEventListener("input", ask);
showImpact(form);
if (typedMeanwhile(form)) ask();
