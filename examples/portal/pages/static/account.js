// Gives the component a code of a portal session: at the beginning, and when its session has ended.
const tokens = document.querySelector("gatepass-access-tokens");

async function newCode() {
  const answer = await fetch("/portal-code", { method: "POST" });
  // Signed out of the shop: its own sign-in comes first.
  if (answer.redirected) location.assign("/");
  return (await answer.json()).code;
}

tokens.addEventListener("gatepass-session-expired", (event) => event.detail.renew(newCode()));
tokens.strings = { title: "Access tokens of your shop", resources: { charges: "orders" } };
tokens.code = await newCode();
