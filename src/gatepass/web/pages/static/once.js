// A page with a secret that is shown once: removes it when the page is left, so that the back button can't
// restore it from memory; asks before that, until the secret was copied or saved.
const page = document.querySelector("[data-shown-once]");
let stored = false;

// Reloading opens the token's page instead of offering to resubmit the form.
history.replaceState(null, "", page.dataset.shownOnce);

addEventListener("beforeunload", (event) => {
  if (!stored) event.preventDefault();
});

addEventListener("pagehide", () => {
  for (const secret of document.querySelectorAll("[data-secret]")) secret.textContent = "";
  page.hidden = true;
  document.querySelector("[data-gone]").hidden = false;
});

// By the Copy button (gatepass.js), or by hand.
document.addEventListener("copied", ({ target }) => {
  if (holdsSecret(document.getElementById(target.dataset.copy))) keep("Copied. Now store it.");
});
document.addEventListener("copy", () => {
  if (holdsSecret(getSelection().anchorNode?.parentElement)) keep("Copied. Now store it.");
});
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-download]");
  if (button) save(button);
  // I have stored it.
  if (target.closest(".buttons a")) stored = true;
});

function holdsSecret(element) {
  return element?.closest("[data-secret]") != null;
}

function keep(words) {
  stored = true;
  const notice = page.querySelector("[data-store-notice]");
  if (!notice) return;
  notice.className = "notice good";
  notice.querySelector("use").setAttribute("href", "#icon-check");
  notice.querySelector("[data-store-words]").textContent = words;
  notice.querySelector("[data-until-stored]").textContent = "";
}

function save(button) {
  const { download, file, before } = button.dataset;
  const text = `${before}${document.getElementById(download).textContent}\n`;
  const link = Object.assign(document.createElement("a"), { download: file, href: URL.createObjectURL(new Blob([text])) });
  link.click();
  URL.revokeObjectURL(link.href);
  keep("Downloaded. Keep it safe.");
}
