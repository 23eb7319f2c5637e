// Every form: the focus after a refusal, one submit at a time that shows it is under way, and a question
// before changes are lost. Imported by gatepass.js.
const find = (selector) => document.querySelector(selector);
const SHOWN_AFTER_MS = 150;
// Forms whose button says so, what it said; the form that is being sent; whether changes are given up.
const busy = new Map();
let sending = null, leaving = false;
const DOING = {
  Add: "Adding…", Apply: "Applying…", Approve: "Approving…", Change: "Changing…", Check: "Checking…", Create: "Creating…", Deactivate: "Deactivating…",
  Delete: "Deleting…", Invite: "Inviting…", Resend: "Sending…", Rotate: "Rotating…", Save: "Saving…", Send: "Sending…", Sign: "One moment…",
};

// Refused ------------------------------------------------------------------------------------------
const summary = find("[data-problems][autofocus]");
summary?.focus();
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-problems] a");
  if (link) {
    const field = fieldOf(link.hash.slice(1));
    if (!field) return;
    event.preventDefault();
    for (let folded = field.closest("details:not([open])"); folded; folded = folded.closest("details:not([open])")) folded.open = true;
    field.scrollIntoView({ block: "center" });
    field.focus({ preventScroll: true });
  }
  if (event.target.closest("[data-send-again]")) find("main form[method=post] :is(.button.primary, .button.danger)[type=submit]")?.click();
});

// The field that the element with this id is about, or is: of a group, the first one.
function fieldOf(id) {
  const described = find(`[aria-describedby~="${CSS.escape(id)}"]`) ?? document.getElementById(id);
  const fields = "input:not([type=hidden]), select, textarea, button";
  return described?.matches(fields) ? described : (described?.closest("fieldset") ?? described)?.querySelector(fields);
}

// Under way ----------------------------------------------------------------------------------------
// A double click must not submit a form twice: the browser would discard the first response, which may
// contain a token.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  if (form.method !== "post") return void (form.ariaBusy = "true");
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  sending = form;
  const shown = setTimeout(() => show(form, event.submitter), SHOWN_AFTER_MS);
  setTimeout(() => {
    clearTimeout(shown);
    rest(form);
  }, 5000);
});
// The page left by the submission may be shown again by the back button. A page that has just loaded
// fires this event, too, perhaps between the two clicks.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.querySelectorAll("[data-sent], form[aria-busy]")) rest(form);
});

function show(form, submitter) {
  form.ariaBusy = "true";
  // Enter presses a button that isn't shown.
  const button = submitter?.matches(".button") ? submitter : form.querySelector(".button.primary, .button[type=submit]");
  if (!button || button.matches(".square")) return;
  busy.set(form, { button, content: [...button.childNodes] });
  const turning = Object.assign(document.createElement("span"), { className: "turning", ariaHidden: "true" });
  button.replaceChildren(turning, DOING[button.textContent.trim().split(" ")[0]] ?? "One moment…");
  button.ariaDisabled = "true";
}

function rest(form) {
  delete form.dataset.sent;
  form.ariaBusy = null;
  const under = busy.get(form);
  busy.delete(form);
  under?.button.replaceChildren(...under.content);
  if (under) under.button.ariaDisabled = null;
  if (sending === form) sending = null;
}

// Unsaved ------------------------------------------------------------------------------------------
const FIELDS = "input:not([type=hidden], [type=search], [type=password]), select, textarea";

addEventListener("beforeunload", (event) => {
  const unsaved = [...document.querySelectorAll("main form[method=post]")].some((form) => form !== sending && isChanged(form));
  if (unsaved && !leaving) event.preventDefault();
});
// Cancel, Discard my changes.
document.addEventListener("click", (event) => {
  leaving = event.target.closest("main .buttons a") !== null;
});
document.addEventListener("input", ({ target }) => target.closest("form")?.setAttribute("data-touched", ""));

// Only what the visitor touched: scripts fill in some fields themselves.
function isChanged(form) {
  const fields = [...form.querySelectorAll(FIELDS)].filter((field) => !field.closest("dialog"));
  // After a refusal, the fields' defaults are what was typed.
  if (find("main[data-typed] [data-problems]") && fields.length) return true;
  // Rows that were added or removed leave no field that differs.
  return form.hasAttribute("data-touched") && (form.querySelector("[data-rows]") || fields.some(differs));
}

function differs(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  return field.value !== field.defaultValue;
}
