// Parts of a page that go on by themselves: each is fetched anew from the address it names, as often
// as it says, while somebody looks; until the server doesn't name one any more.
import { localise } from "./times.js";

for (const part of document.querySelectorAll("[data-live]")) follow(part);

async function follow(part) {
  while (part.dataset.live) {
    await new Promise((resolve) => setTimeout(resolve, Number(part.dataset.every)));
    if (document.hidden) await looking();
    try {
      const answer = await fetch(part.dataset.live);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
      // Signed out meanwhile, or an outage: what is there stays, and is asked for again.
      if (fresh && !answer.redirected) show(part, fresh);
      else if (answer.redirected) return;
    } catch {
      // Offline.
    }
  }
}

function show(part, fresh) {
  localise(fresh);
  // Read aloud only when it says something else.
  const said = part.querySelector("[role=status]"), says = fresh.querySelector("[role=status]");
  if (said && says) {
    if (said.textContent !== says.textContent) said.replaceChildren(...says.childNodes);
    says.replaceWith(said);
  }
  for (const each of fresh.querySelectorAll("[data-key]")) {
    if (!part.querySelector(`[data-key="${CSS.escape(each.dataset.key)}"]`)) each.classList.add("arrives");
  }
  if (part.querySelector("details")?.open && fresh.querySelector("details")) fresh.querySelector("details").open = true;
  part.replaceChildren(...fresh.childNodes);
  part.dataset.live = fresh.dataset.live ?? "";
}

function looking() {
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
