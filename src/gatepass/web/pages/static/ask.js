// Live previews: posts the form as if its button `pressed` were clicked, and replaces the element with
// this id by the one in the response.
import { fragments, update } from "./fragments.js";

export function asking(form, pressed, id, delay) {
  let waiting, under;

  async function ask() {
    const part = document.getElementById(id);
    under?.abort();
    under = new AbortController();
    const fields = new URLSearchParams(new FormData(form));
    fields.set("do", pressed);
    part.ariaBusy = "true";
    try {
      const answer = await fetch(form.action, { method: "POST", body: fields, signal: under.signal });
      const [fresh] = await fragments(answer, id);
      if (fresh && fresh.textContent !== part.textContent) update(part, fresh);
    } catch {
      // Offline, or superseded by further input: keep the preview; the server validates on submit.
      return;
    }
    part.ariaBusy = "false";
  }

  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, delay);
  };
}

// Whether a field was changed before this script loaded, or restored by the browser after a reload.
export const typedMeanwhile = (form) =>
  [...form.querySelectorAll("input:not([type=hidden]), textarea")].some(
    (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked,
  );
