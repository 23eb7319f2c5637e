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
      // Not asked where the policy of a frame forbids it: the browser would log that as an error.
      if (document.featurePolicy?.allowsFeature("clipboard-write") === false)
        throw new Error("no clipboard in this frame");
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // In such a frame, and without https: copies what is selected, or leaves it to a key press.
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
