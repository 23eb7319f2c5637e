// The filters of the audit log: times in the viewer's own zone, and no secret in the address.
const local = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");

for (const field of document.querySelectorAll("[data-local-time]")) {
  const offset = document.getElementById(`${field.id}-offset`);
  const keep = () => {
    const typed = new Date(field.value);
    offset.value = isNaN(typed) ? "" : String(-typed.getTimezoneOffset());
  };
  if (field.dataset.localTime) field.value = local(new Date(field.dataset.localTime));
  field.labels[0].querySelector("[data-zone]").textContent = `(${zone})`;
  field.addEventListener("input", keep);
  keep();
}

// Whoever pastes a whole token text looks for its id.
const token = document.querySelector("[data-token-term]");
token.addEventListener("input", () => {
  if (/^\s*gp(at|lt)_[0-9A-Za-z]{54}\s*$/.test(token.value)) token.value = token.value.trim().slice(0, 21);
});
