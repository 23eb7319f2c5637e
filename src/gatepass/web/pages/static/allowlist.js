// A company's allowlist: rows without a round trip, and what the list would mean while it is typed.
import { asking, typedMeanwhile } from "./ask.js";
import { growRows } from "./rows.js";

const form = document.querySelector("[data-allowlist-form]");
// A long text is sent as a whole each time: less often, then.
const ask = asking(form, "reach", "reach", form.elements.text ? 600 : 200);

growRows(form);
form.addEventListener("input", ask);
if (typedMeanwhile(form)) ask();
