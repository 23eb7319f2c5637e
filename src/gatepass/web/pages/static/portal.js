// Hands the code in the address to the component, and removes it from the address and the history.
const element = document.querySelector("gatepass-access-tokens");
const code = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (code) {
  element.code = code;
} else {
  element.remove();
  document.querySelector("[data-without-code]").hidden = false;
}
