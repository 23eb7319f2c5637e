// What a new password still lacks, in words, while it is typed into a [data-password] field. The
// rules, and the list, are those of passwords.py; whether it counts, the server says.
// data-shortest (15), data-email and data-company say what it is held against.
const LONGEST = 256, SHORTEST_PART = 4, PAUSE_MS = 300;
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
    // Not at every key: a screen reader would never finish.
    pause = setTimeout(async () => show(words, field.value, lacks(field, await list)), PAUSE_MS);
  });
}

function show(words, typed, lacking) {
  words.classList.toggle("good", typed !== "" && !lacking);
  words.textContent = typed === "" ? "" : lacking || "Long enough, and not a common one.";
}

function lacks(field, words) {
  const typed = folded(field.value), { email = "", company = "" } = field.dataset;
  const length = [...field.value].length, missing = Number(field.dataset.shortest ?? 15) - length;
  if (isCommon(typed, words)) return "A common word, or one repeated: these are tried first.";
  if (email && typed.includes(folded(email))) return "Contains your e-mail address.";
  for (const [part, name] of [[email.slice(0, email.lastIndexOf("@")), "the first part of your e-mail address"], [company, "the company's name"]])
    if ([...part].length >= SHORTEST_PART && typed.includes(folded(part))) return `Contains ${name}.`;
  if (missing > 0) return `${missing} more character${missing === 1 ? "" : "s"}.`;
  return length > LONGEST ? `At most ${LONGEST} characters.` : "";
}

function isCommon(typed, words) {
  if (words.has(typed)) return true;
  for (let size = 1; size <= typed.length / 2; size++) {
    const part = typed.slice(0, size);
    if (typed.length % size === 0 && words.has(part) && part.repeat(typed.length / size) === typed) return true;
  }
  return false;
}

function folded(text) {
  return text.normalize("NFC").toLowerCase().normalize("NFC");
}

async function common() {
  try {
    const lines = await (await fetch(new URL("common-passwords.txt", import.meta.url))).text();
    return new Set(lines.split("\n").filter((line) => line && !line.startsWith("# ")).map(folded));
  } catch {
    return new Set();
  }
}
