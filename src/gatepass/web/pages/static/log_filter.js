// The audit log's filters: local times, and no secrets in the address.
import { fieldValue, zone } from "./times.js";

for (const field of document.querySelectorAll("[data-local-time]")) {
  const offset = document.getElementById(`${field.id}-offset`);
  const keep = () => {
    const typed = new Date(field.value);
    offset.value = isNaN(typed) ? "" : String(-typed.getTimezoneOffset());
  };
  if (field.dataset.localTime) field.value = fieldValue(new Date(field.dataset.localTime));
  field.labels[0].querySelector("[data-zone]").textContent = `(${zone})`;
  field.addEventListener("input", keep);
  keep();
}

// A pasted token text is cut to its id, so that the secret doesn't end up in the address.
const token = document.querySelector("[data-token-term]");
token.addEventListener("input", () => {
  if (/^\s*gp(at|lt)_[0-9A-Za-z]{54}\s*$/.test(token.value)) token.value = token.value.trim().slice(0, 21);
});
