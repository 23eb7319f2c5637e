// Removes the secret when the page is left, so that the back button can't restore it from memory.
const page = document.querySelector("[data-shown-once]");

// Reloading opens the token's page instead of offering to resubmit the form.
history.replaceState(null, "", page.dataset.shownOnce);

addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-secret]")) secret.textContent = "";
  page.hidden = true;
  document.querySelector("[data-gone]").hidden = false;
});
