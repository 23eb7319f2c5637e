// The bar at the foot of a narrow screen: what a form has so far.
export function sayInBar(form) {
  const words = form.querySelector("[data-so-far]");

  function say() {
    if (form.querySelector("#kind-decoy:checked")) return void (words.textContent = "Decoy");
    const permissions = form.querySelector("[data-tally]").value.replace(" selected", "");
    const expiry = form.querySelector("[name=expire]:checked")?.closest("label").textContent.trim();
    words.textContent = [permissions, expiry === "Never" ? "never expires" : expiry, from()].filter(Boolean).join(" · ");
  }

  // A role is from nowhere.
  function from() {
    if (!form.querySelector("[data-rows], [name=networks_text]")) return "";
    const typed = [...form.querySelectorAll("[name=network_address], [name=networks_text]")];
    const networks = typed.flatMap(({ value }) => value.split("\n")).filter((line) => line.trim()).length;
    return networks ? `${networks} address${networks === 1 ? "" : "es"}` : "any address";
  }

  form.addEventListener("input", say);
  say();
}
