// A token's text leaves the page with the person: what the back button may bring back from memory
// has none.
addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-secret]")) secret.textContent = "";
  document.querySelector("[data-shown-once]").hidden = true;
  document.querySelector("[data-gone]").hidden = false;
});
