// Warns once at the foot of the page before the sign-in ends. It uses wall-clock time, so that a computer
// that slept warns on waking, corrected by the server's clock.
const WARN_MS = 5 * 60_000;
const box = document.querySelector("[data-ending]");
const { user, now } = document.body.dataset;
const ahead = Date.now() - Number(now);
let until = Number(document.body.dataset.signedInUntil) + ahead;
let said = "";

// A new sign-in of the same user in another tab applies to this tab too.
const tabs = new BroadcastChannel("gatepass-signed-in");
tabs.addEventListener("message", ({ data }) => {
  if (data.user !== user || data.until <= until) return;
  until = data.until;
  look();
});
tabs.postMessage({ user, until });

function look() {
  const left = until - Date.now();
  say(left > WARN_MS ? "" : left > 0 ? "soon" : "ended");
}

function say(what) {
  if (what === said) return;
  said = what;
  box.replaceChildren();
  if (!what) return;
  const words = document.createElement("p");
  const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }).format(until);
  words.textContent = what === "soon"
    ? `Your sign-in ends at ${time}. Your input is kept, even if you submit it later.`
    : "Your sign-in has ended. Your input is kept: sign in again, or submit it and sign in then.";
  const link = document.createElement("a");
  Object.assign(link, { href: "/sign-in?again=1", target: "_blank", rel: "noopener", className: "button compact", textContent: "Sign in again" });
  box.append(words, link);
}

look();
setInterval(look, 1000);
for (const event of ["visibilitychange", "pageshow", "focus"]) addEventListener(event, look);
