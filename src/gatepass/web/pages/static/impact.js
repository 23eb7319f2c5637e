// A form's impact on the calls of the last 30 days, live. It takes longer to find out than the summary,
// so it is asked for less often.
import { asking, typedMeanwhile } from "./ask.js";

export function showImpact(form) {
  if (!document.getElementById("impact")) return;
  const ask = asking(form, "impact", "impact", 700);
  form.addEventListener("input", ask);
  if (typedMeanwhile(form)) ask();
}
