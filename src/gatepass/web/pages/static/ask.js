// What the server says of a form that is being typed: the part of the page with this id, as the
// same form would show it if its button `pressed` were sent.
import { localise } from "./times.js";

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
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
      if (fresh && fresh.textContent !== part.textContent) {
        localise(fresh);
        const open = part.querySelector("details")?.open;
        part.replaceChildren(...fresh.childNodes);
        if (open && part.querySelector("details")) part.querySelector("details").open = true;
      }
    } catch {
      // Offline, or typed on meanwhile: it stays as it was; the server checks when it is sent.
      return;
    }
    part.ariaBusy = "false";
  }

  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, delay);
  };
}

// Typed or chosen before the script was here, or kept by the browser over a reload.
export const typedMeanwhile = (form) =>
  [...form.querySelectorAll("input:not([type=hidden]), textarea")].some(
    (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked,
  );
