// Expire In: the date and time in the viewer's time zone, whose offset is sent along.
import { fieldValue, zone } from "./times.js";

const moment = document.getElementById("expires-on");
const offset = document.getElementById("expires-on-offset");

function keepOffset() {
  const typed = new Date(moment.value || Date.now());
  if (!isNaN(typed)) offset.value = String(-typed.getTimezoneOffset());
}

// The form of a decoy has no expiry.
if (moment) {
  // Without an offset, the field has the server's value, in UTC.
  if (offset.value === "" && moment.value) moment.value = fieldValue(new Date(moment.value + "Z"));
  moment.labels[0].querySelector("[data-zone]").textContent = `(${zone})`;
  moment.addEventListener("input", keepOffset);
  keepOffset();
}

// An expiry in place of never, in one click.
document.querySelector("[data-expires]")?.addEventListener("click", (event) => {
  event.preventDefault();
  const choice = document.getElementById(`expire-${event.currentTarget.dataset.expires}`);
  choice.checked = true;
  choice.focus();
  choice.dispatchEvent(new Event("input", { bubbles: true }));
});
