// A token's text leaves the page with the person: what the back button may bring back from memory
// has none.
const page = document.querySelector("[data-shown-once]");

// Reloading shows the token's own page instead of asking whether to send the form again.
history.replaceState(null, "", page.dataset.shownOnce);

addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-secret]")) secret.textContent = "";
  page.hidden = true;
  document.querySelector("[data-gone]").hidden = false;
});
