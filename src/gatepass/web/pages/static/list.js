// Searching as you type: the results are those of the same address without scripts.
import { localise } from "./times.js";

const form = document.querySelector("[data-filter-form]");
let waiting, asking;

form.addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(show, event.target.type === "search" ? 180 : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  show();
});

// Typed before this script was here.
if ([...form.elements].some((field) => field.type === "search" && field.value !== field.defaultValue)) show();

async function show() {
  const address = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
  const results = document.getElementById("results");
  asking?.abort();
  asking = new AbortController();
  results.ariaBusy = "true";
  try {
    const answer = await fetch(address, { signal: asking.signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [fresh, count] = ["results", "count"].map((id) => page.getElementById(id));
    // Signed out meanwhile, or an error: that page tells more than we could.
    if (!fresh || answer.redirected) return location.assign(address);
    localise(fresh);
    results.replaceChildren(...fresh.childNodes);
    document.getElementById("count").textContent = count.textContent;
    history.replaceState(null, "", address);
    results.ariaBusy = "false";
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
  }
}
