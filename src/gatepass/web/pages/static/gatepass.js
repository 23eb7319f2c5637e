// What every page gets: local times, copying, the / key, dialogs, one submit per form. Pages work
// without any of it. What only some pages need, those name as scripts of their own.
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
  const field = find("main [data-slash]") ?? find("[data-slash]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});

// On a small screen the tab that is open may be beyond the edge.
find(".places [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A double click must not send a form twice: its first answer, which may hold a token, would be
// thrown away by the browser.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
  setTimeout(() => delete event.target.dataset.sent, 5000);
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const words = button.querySelector("span");
  const before = (words.dataset.before ??= words.textContent);
  let done = true;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Beyond https and localhost browsers know no clipboard; the old command still works there.
    getSelection().selectAllChildren(source);
    done = document.execCommand("copy");
  }
  words.textContent = done ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (words.textContent = before), 2000);
}

// Signed in again in the midst of a form: shown again at once. Back leads to it, not to here.
const resumed = find("form[data-resume]");
if (resumed) {
  history.replaceState(null, "", resumed.getAttribute("action"));
  resumed.requestSubmit();
}
