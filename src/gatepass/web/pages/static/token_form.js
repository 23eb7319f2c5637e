// Making and editing a token: rows without a round trip, the picture of an address, the running
// count, the filter, the viewer's time zone, and the sentence before the form's end.
import { draw } from "./bits.js";
import { localise } from "./times.js";

const form = document.querySelector("[data-token-form]");
const all = (selector, root = form) => [...root.querySelectorAll(selector)];
let made = 0;

// Rows -------------------------------------------------------------------------------------------
form.addEventListener("click", (event) => {
  const add = event.target.closest("[data-add-row]");
  const remove = event.target.closest("[data-remove-row]");
  if (add) {
    event.preventDefault();
    const rows = add.closest("[data-rows]");
    const row = rows.querySelector("template").content.cloneNode(true).firstElementChild;
    for (const labelled of all("[id]", row)) labelled.id += `-${++made}`;
    rows.querySelector("template").before(row);
    const field = row.querySelector("input");
    field.value = add.dataset.addRow;
    field.focus();
    changed(field);
  } else if (remove) {
    event.preventDefault();
    const rows = remove.closest("[data-rows]");
    remove.closest("[data-row]").remove();
    rows.querySelector("[data-add-row]").focus();
    changed(rows);
  }
});

function drawRow(row) {
  const [address, bits, box] = ["[data-address]", "[data-bit-count]", "[data-bits]"].map((each) => row.querySelector(each));
  if (!address) return;
  const [text, typedBits] = address.value.split("/");
  if (typedBits !== undefined) {
    // 10.0.0.0/8 typed or pasted into the first field fills both.
    address.value = text;
    bits.value = typedBits.trim();
    bits.focus();
  }
  draw(box, address.value.trim(), bits.value.trim());
}

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
let waiting, asking;

function changed(target) {
  target.dispatchEvent(new Event("input", { bubbles: true }));
}

form.addEventListener("input", (event) => {
  const row = event.target.closest("[data-row]");
  if (row) drawRow(row);
  count();
  keepOffset();
  clearTimeout(waiting);
  waiting = setTimeout(ask, 150);
});

async function ask() {
  const sentence = document.getElementById("sentence");
  asking?.abort();
  asking = new AbortController();
  const fields = new URLSearchParams(new FormData(form));
  fields.set("do", "sentence");
  sentence.ariaBusy = "true";
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, signal: asking.signal });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sentence");
    if (fresh && fresh.textContent !== sentence.textContent) {
      localise(fresh);
      sentence.replaceChildren(...fresh.childNodes);
    }
  } catch {
    // Offline, or typed on meanwhile: the sentence stays as it was; the server checks on Create.
    return;
  }
  sentence.ariaBusy = "false";
}

for (const row of all("[data-row]")) drawRow(row);
count();
keepOffset();
// Typed or chosen before this script was here, or kept by the browser over a reload.
const meanwhile = (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked;
if (all("input:not([type=hidden])").some(meanwhile)) ask();
