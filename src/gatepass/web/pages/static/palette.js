// Search from anywhere: Ctrl+K or / opens a dialog that shows the search page's results while one types.
// Arrow keys move among them; Enter opens the first. Without scripts, the bar's field opens that page.
import { fragments } from "./fragments.js";

const palette = document.querySelector("[data-palette]");
const field = palette.querySelector("[data-palette-term]");
const found = document.getElementById("palette-found");
let waiting, asking, shown;

for (const opener of document.querySelectorAll("[data-opens-palette]")) {
  opener.addEventListener("click", open);
  // Reached by the Tab key.
  opener.addEventListener("input", () => {
    open(null, opener.value);
    opener.value = "";
  });
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog, [contenteditable]");
  const wanted = event.key.toLowerCase() === "k" ? event.ctrlKey || event.metaKey : event.key === "/" && !typing && !event.ctrlKey && !event.metaKey;
  // The list's own field takes the / key (gatepass.js).
  if (wanted && !event.altKey && !event.defaultPrevented && !document.querySelector("dialog[open]")) open(event);
});
field.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(show, 150);
});
palette.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    step(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key.length === 1 && event.target !== field && event.target !== palette && !event.ctrlKey && !event.metaKey && event.key !== " ") {
    // Typing goes on in the field.
    field.focus();
  }
});
palette.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await show();
  const first = found.querySelector("[data-found]");
  if (first) first.click();
  else location.assign(address());
});
// A click beside it.
palette.addEventListener("click", ({ target }) => target === palette && palette.close());

function open(event, typed) {
  event?.preventDefault();
  if (palette.open) return;
  palette.showModal();
  field.focus();
  if (typed) field.value = typed;
  else field.select();
  show();
}

// To the results of what was typed, not to those that are about to be replaced.
async function step(by) {
  await show();
  const stops = [field, ...found.querySelectorAll("[data-found]")];
  const at = stops.indexOf(document.activeElement);
  stops[(at + by + stops.length) % stops.length].focus();
}

function address() {
  return `${palette.querySelector("form").getAttribute("action")}?${new URLSearchParams({ q: field.value.trim() })}`;
}

async function show() {
  clearTimeout(waiting);
  // A pasted token text is cut to its id, so that the secret doesn't end up in an address.
  if (/^\s*gp[a-z]{2}_[0-9A-Za-z]{54}\s*$/.test(field.value)) field.value = field.value.trim().slice(0, 21);
  const term = field.value.trim();
  if (term === shown) return;
  asking?.abort();
  asking = new AbortController();
  found.ariaBusy = "true";
  try {
    const answer = await fetch(address(), { signal: asking.signal });
    const [fresh] = await fragments(answer, "found");
    // Signed out or an error: show the server's page.
    if (!fresh) return location.assign(address());
    shown = term;
    found.replaceChildren(...fresh.childNodes);
  } catch (error) {
    if (error.name === "AbortError") return;
    found.textContent = "The search can't be reached. Press Enter to try again.";
  }
  found.ariaBusy = null;
}
