// A button that copies a text.
import { button } from "./dom.js";

const SHOWN_MS = 2000;

// `source`: the element whose text it copies.
export function copyButton(texts, source, words, look) {
  const made = button(words, { look, drawn: "copy", onclick: copy });
  const said = made.querySelector("span");
  said.setAttribute("aria-live", "polite");
  let waiting;

  async function copy() {
    let done = true;
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // A page in a frame, or one without https, has no clipboard: select the text for a key press.
      getSelection().selectAllChildren(source);
      done = document.execCommand("copy");
    }
    said.textContent = texts.of(done ? "copied" : "copyFailed");
    made.classList.toggle("done", done);
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      said.textContent = words;
      made.classList.remove("done");
    }, SHOWN_MS);
  }
  return made;
}
