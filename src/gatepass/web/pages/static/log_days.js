// Moves the lines of the audit log from the server's days, those of UTC, to days in the viewer's time zone.
const DAY = 24 * 60 * 60_000;
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "long" });

const results = document.getElementById("results");
new MutationObserver(regroup).observe(results, { childList: true });
regroup();

function regroup() {
  const log = results.querySelector("[data-days]");
  if (!log) return;
  const pattern = log.querySelector("section"), days = [];
  for (const line of log.querySelectorAll(":scope > section > ol > li")) {
    const at = new Date(line.querySelector("time").dateTime), name = worded(at);
    if (days.at(-1)?.name === name) days.at(-1).list.append(line);
    else days.push(day(pattern, name, line));
  }
  log.replaceChildren(...days.map(({ section }) => section));
}

function day(pattern, name, line) {
  const section = pattern.cloneNode(), list = pattern.querySelector("ol").cloneNode();
  const heading = document.createElement("h2");
  heading.textContent = name;
  list.append(line);
  section.append(heading, list);
  return { name, section, list };
}

// Worded like times.py.
function worded(at) {
  const [its, today, yesterday] = [at, Date.now(), Date.now() - DAY].map((each) => new Date(each).toDateString());
  const name = its === today ? "Today" : its === yesterday ? "Yesterday" : weekday.format(at);
  return `${name}, ${date.format(at)}`;
}
