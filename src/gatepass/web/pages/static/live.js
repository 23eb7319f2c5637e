// Polling: refreshes each [data-live] element from its address every `data-every` milliseconds while the
// page is visible, until the server stops sending an address.
import { fragments, update } from "./fragments.js";
import { localise } from "./times.js";

for (const part of document.querySelectorAll("[data-live]")) follow(part);

async function follow(part) {
  while (part.dataset.live) {
    await new Promise((resolve) => setTimeout(resolve, Number(part.dataset.every)));
    if (document.hidden) await looking();
    try {
      const answer = await fetch(part.dataset.live);
      const [fresh] = await fragments(answer, part.id);
      // Signed out or an outage: keep the content and try again.
      if (fresh && !answer.redirected) show(part, fresh);
      else if (answer.redirected) return;
    } catch {
      // Offline.
    }
  }
}

function show(part, fresh) {
  // Announce the status only if it changed, times in the same zone.
  localise(fresh);
  const said = part.querySelector("[role=status]"), says = fresh.querySelector("[role=status]");
  if (said && says) {
    if (said.textContent !== says.textContent) said.replaceChildren(...says.childNodes);
    says.replaceWith(said);
  }
  for (const each of fresh.querySelectorAll("[data-key]")) {
    if (!part.querySelector(`[data-key="${CSS.escape(each.dataset.key)}"]`)) each.classList.add("arrives");
  }
  update(part, fresh);
  part.dataset.live = fresh.dataset.live ?? "";
}

function looking() {
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
