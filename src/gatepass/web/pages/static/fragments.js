// Parts of a page, as the server renders them.
import { localise } from "./times.js";

// The elements with these ids in a response.
export async function fragments(response, ...ids) {
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return ids.map((id) => page.getElementById(id));
}

// Replaces the content of `part` by that of `fresh`; an open <details> stays open.
export function update(part, fresh) {
  localise(fresh);
  const open = part.querySelector("details")?.open;
  part.replaceChildren(...fresh.childNodes);
  if (open && part.querySelector("details")) part.querySelector("details").open = true;
}
