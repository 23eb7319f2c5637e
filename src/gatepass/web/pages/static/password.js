// Checks a new password while it is typed into a [data-password] field, by the rules of passwords.py
// and common_passwords.py. Only the server accepts it: its list of leaked passwords is too long for a
// browser. data-shortest (default 15), data-email and data-company are what it is checked against.
const LONGEST = 256, SHORTEST_PART = 4, SHORTEST_PADDED = 4, PAUSE_MS = 300;
let list;

for (const field of document.querySelectorAll("[data-password]")) {
  const words = document.createElement("p");
  words.id = `${field.id}-strength`;
  words.className = "hint strength";
  words.setAttribute("role", "status");
  field.after(words);
  field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${words.id}`.trim());
  let pause;
  field.addEventListener("input", () => {
    list ??= common();
    clearTimeout(pause);
    // Not at every key press, which would interrupt screen readers.
    pause = setTimeout(async () => show(words, field.value, lacks(field, await list)), PAUSE_MS);
  });
}

function show(words, typed, lacking) {
  words.classList.toggle("good", typed !== "" && !lacking);
  words.textContent = typed === "" ? "" : lacking || "Long enough.";
}

function lacks(field, words) {
  const typed = folded(field.value), { email = "", company = "" } = field.dataset;
  const length = [...field.value].length, missing = Number(field.dataset.shortest ?? 15) - length;
  if (isCommon(typed, words)) return "Must not be a common password, even repeated or padded.";
  if (email && typed.includes(folded(email))) return "Must not contain your e-mail address.";
  for (const [part, name] of [[email.slice(0, email.lastIndexOf("@")), "the first part of your e-mail address"], [company, "the company's name"]])
    if ([...part].length >= SHORTEST_PART && typed.includes(folded(part))) return `Must not contain ${name}.`;
  if (missing > 0) return `${missing} more character${missing === 1 ? "" : "s"} needed.`;
  return length > LONGEST ? `Must be at most ${LONGEST} characters.` : "";
}

function isCommon(typed, words) {
  return [typed, unit(typed), core(typed), core(unit(typed)), unit(core(typed))].some((text) => words.has(text));
}

// The shortest beginning that repeated, and cut off at the end, gives the text.
function unit(text) {
  for (let size = 1; size <= text.length / 2; size++) if (text.slice(size) === text.slice(0, -size)) return text.slice(0, size);
  return text;
}

// The text without the digits and signs around its letters, unless those are too many to be padding.
function core(text) {
  const [, before, letters, after] = /^(\P{L}*)(\p{L}(?:.*\p{L})?)(.*)$/su.exec(text) ?? [text, "", "", ""];
  return [...letters].length >= Math.max(SHORTEST_PADDED, unpredictable(before) + unpredictable(after)) ? letters : text;
}

// How many signs don't follow from the one before; a year counts as one.
function unpredictable(signs) {
  const codes = Array.from(signs.replace(/(?:19|20)[0-9]{2}/g, "y"), (sign) => sign.codePointAt(0));
  return codes.filter((code, place) => !(Math.abs(code - codes[place - 1]) <= 1)).length;
}

function folded(text) {
  return text.normalize("NFC").toLowerCase().normalize("NFC");
}

async function common() {
  try {
    const lines = await (await fetch(new URL("common-passwords.txt", import.meta.url))).text();
    const listed = lines.split("\n").filter((line) => line && !line.startsWith("# ")).map(folded);
    return new Set([...listed, ...listed.map(unit)]);
  } catch {
    return new Set();
  }
}
