// The catalogue's editor: Tab indents by two spaces. Escape, then Tab leaves it, as ever.
const editor = document.querySelector("[data-editor]");
let leaving = false;

editor?.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    leaving = true;
    return;
  }
  if (event.key === "Tab" && !leaving && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    editor.setRangeText("  ", editor.selectionStart, editor.selectionEnd, "end");
    editor.dispatchEvent(new Event("input", { bubbles: true }));
  }
  leaving = false;
});
