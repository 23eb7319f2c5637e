// Ticking rows of a list: all of the page at once, and how many are ticked.
const results = document.getElementById("results");
const ticks = () => [...results.querySelectorAll("[data-tick]")];

results.addEventListener("change", ({ target }) => {
  if (target.matches("[data-tick-all]")) for (const tick of ticks()) tick.checked = target.checked;
  show();
});
// The live search replaces the rows.
new MutationObserver(show).observe(results, { childList: true });
// Ticks that the browser restored.
addEventListener("pageshow", show);
show();

function show() {
  const button = results.querySelector("[data-ticked]");
  if (!button) return;
  const all = ticks(), ticked = all.filter((tick) => tick.checked).length;
  button.disabled = !ticked;
  button.textContent = ticked ? `Deactivate ${ticked} selected…` : "Deactivate selected…";
  const head = results.querySelector("[data-tick-all]");
  head.checked = ticked === all.length;
  head.indeterminate = ticked > 0 && ticked < all.length;
}
