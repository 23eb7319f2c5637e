// Live search: fetches the address that the form would open without scripts.
import { fragments } from "./fragments.js";
import { localise } from "./times.js";

const form = document.querySelector("[data-filter-form]");
let waiting, asking, said;

form.addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(show, event.target.type === "search" ? 180 : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  show();
});

// Typed before this script loaded.
if ([...form.elements].some((field) => field.type === "search" && field.value !== field.defaultValue)) show();

async function show() {
  const address = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
  const results = document.getElementById("results");
  asking?.abort();
  asking = new AbortController();
  results.ariaBusy = "true";
  clearTimeout(said);
  said = setTimeout(() => (document.getElementById("count").textContent = "Searching…"), 400);
  try {
    const answer = await fetch(address, { signal: asking.signal });
    clearTimeout(said);
    const [fresh, count] = await fragments(answer, "results", "count");
    // Signed out or an error: show the server's page.
    if (!fresh || answer.redirected) return location.assign(address);
    localise(fresh);
    results.replaceChildren(...fresh.childNodes);
    document.getElementById("count").replaceChildren(...count.childNodes);
    history.replaceState(null, "", address);
    results.ariaBusy = "false";
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
  }
}
