// Loaded by every page: local times, copy buttons, the / key, dialogs, forms. Pages work without it.
// Modules that only some pages need are loaded by those pages.
import "./forms.js";
import { localise } from "./times.js";

const find = (selector) => document.querySelector(selector);

localise(document);
setInterval(() => localise(document), 30_000);

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-copy], [data-opens], [data-closes]");
  if (!target) return;
  if (target.dataset.copy) copy(target);
  else {
    const dialog = target.dataset.opens ? document.getElementById(target.dataset.opens) : target.closest("dialog");
    if (!dialog) return;
    event.preventDefault();
    if (target.dataset.opens) dialog.showModal();
    else dialog.close();
  }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  // Elsewhere, palette.js opens.
  const field = find("main [data-slash]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});

// On small screens, the current section and tab may be outside the view.
for (const row of [".bar-links", ".section-tabs"]) find(`${row} [aria-current]`)?.scrollIntoView({ block: "nearest", inline: "center" });

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const words = button.querySelector("span");
  const before = (words.dataset.before ??= words.textContent);
  let done = true;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Browsers offer the clipboard only on https and localhost; the old command works elsewhere.
    getSelection().selectAllChildren(source);
    done = document.execCommand("copy");
  }
  words.textContent = done ? "Copied" : "Press Ctrl+C";
  mark(button, done);
  setTimeout(() => {
    words.textContent = before;
    mark(button, false);
  }, 2000);
  if (done) button.dispatchEvent(new CustomEvent("copied", { bubbles: true }));
}

// Green, with a tick.
function mark(button, done) {
  button.classList.toggle("done", done);
  button.querySelector("use")?.setAttribute("href", done ? "#icon-check" : "#icon-copy");
}

// The input of a form submitted too late waits in this tab while its user signs in with the provider.
const KEPT = "gatepass-kept";
find("a[data-keeps]")?.addEventListener("click", () => {
  const fields = [...new FormData(find("form[action='/sign-in']"))];
  const kept = fields.filter(([name]) => name === "next" || name.startsWith("typed"));
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
});
const kept = document.body.dataset.user && sessionStorage.getItem(KEPT);
if (kept) {
  sessionStorage.removeItem(KEPT);
  const form = Object.assign(document.createElement("form"), { method: "post", action: "/sign-in/resume", hidden: true });
  for (const [name, value] of JSON.parse(kept)) {
    form.append(Object.assign(document.createElement("input"), { name, value, type: "hidden" }));
  }
  document.body.append(form);
  form.submit();
}

// After signing in again while editing a form: resubmit it at once. Back returns to the form, not here.
const resumed = find("form[data-resume]");
if (resumed) {
  history.replaceState(null, "", resumed.getAttribute("action"));
  resumed.requestSubmit();
}
