// Expire In: the date and time in the viewer's time zone, whose offset is sent along.
import { fieldValue, zone } from "./times.js";

const moment = document.getElementById("expires-on");
const offset = document.getElementById("expires-on-offset");

function keepOffset() {
  const typed = new Date(moment.value || Date.now());
  if (!isNaN(typed)) offset.value = String(-typed.getTimezoneOffset());
}

// Without an offset, the field has the server's value, in UTC.
if (offset.value === "" && moment.value) moment.value = fieldValue(new Date(moment.value + "Z"));
moment.labels[0].querySelector("[data-zone]").textContent = `(${zone})`;
moment.addEventListener("input", keepOffset);
keepOffset();
