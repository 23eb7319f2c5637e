// Making and editing a token: rows without a round trip, the picture of an address, the running
// count, the filter, the viewer's time zone, and the sentence before the form's end.
import { asking, typedMeanwhile } from "./ask.js";
import { growRows } from "./rows.js";

const form = document.querySelector("[data-token-form]");
const all = (selector, root = form) => [...root.querySelectorAll(selector)];

// Permissions --------------------------------------------------------------------------------------
const tally = form.querySelector("[data-tally]");

function count() {
  for (const group of all("[data-group]")) {
    const wildcard = group.querySelector(".all input");
    if (wildcard) for (const single of all(".group-list input", group)) single.disabled = wildcard.checked;
  }
  const chosen = all("[name=permissions]:checked:not(:disabled)").length;
  tally.value = `${chosen} permission${chosen === 1 ? "" : "s"} chosen`;
  tally.classList.toggle("some", chosen > 0);
}

form.querySelector("[data-filter-permissions]").addEventListener("input", (event) => {
  event.stopPropagation();
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (text) => words.every((word) => text.toLowerCase().includes(word));
  let any = false;
  for (const group of all("[data-group]")) {
    const singles = all(".group-list .permission", group);
    for (const single of singles) single.hidden = !matches(single.textContent);
    group.hidden = singles.every((single) => single.hidden);
    any ||= !group.hidden;
  }
  const own = form.querySelector("[data-own]");
  if (own) {
    own.hidden = all("[data-group]", own).every((group) => group.hidden);
    if (words.length) own.open = true;
  }
  form.querySelector("[data-no-permission]").hidden = any;
});
form.querySelector("[data-filter-permissions]").addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault();
});

// Expire In ----------------------------------------------------------------------------------------
const moment = form.querySelector("#expires-on");
const offset = form.querySelector("[data-offset]");
const local = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

if (offset.value === "" && moment.value) moment.value = local(new Date(moment.value + "Z"));
form.querySelector("[data-zone]").textContent = `(${Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ")})`;

function keepOffset() {
  const typed = new Date(moment.value || Date.now());
  if (!isNaN(typed)) offset.value = String(-typed.getTimezoneOffset());
}

// The sentence -------------------------------------------------------------------------------------
const ask = asking(form, "sentence", "sentence", 150);

growRows(form);
form.addEventListener("input", () => {
  count();
  keepOffset();
  ask();
});
count();
keepOffset();
if (typedMeanwhile(form)) ask();
