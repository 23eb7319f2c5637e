// The bar at the foot of a narrow screen: what a token's form has so far.
export function sayInBar(form) {
  const words = form.querySelector("[data-so-far]");

  function say() {
    if (form.querySelector("#kind-decoy:checked")) return void (words.textContent = "Decoy");
    const permissions = form.querySelector("[data-tally]")?.value.replace(" selected", "");
    const expiry = form.querySelector("[name=expire]:checked")?.closest("label").textContent.trim();
    const networks = [...form.querySelectorAll("[name=network_address]")].filter(({ value }) => value.trim()).length;
    const from = networks ? `${networks} address${networks === 1 ? "" : "es"}` : "Any address";
    words.textContent = [permissions, expiry, from].filter(Boolean).join(" · ");
  }

  form.addEventListener("input", say);
  say();
}
