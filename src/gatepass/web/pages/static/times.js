// Times in the viewer's time zone, worded like times.py.
const exact = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

export function localise(root) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    const words = { exact: exact.format(at), relative: relative(at - now), clock: clock.format(at) };
    const shown = ["relative", "clock"].find((form) => form in element.dataset) ?? "exact";
    // The visible text is the first node; the exact time for screen readers follows it.
    put(element.firstChild, "nodeValue", words[shown]);
    put(element, "title", shown === "exact" ? words.relative : words.exact);
    if (element.lastElementChild) put(element.lastElementChild, "textContent", ` (${words.exact})`);
  }
}

export function relative(distance) {
  const length = Math.abs(distance);
  if (length < MINUTE) return distance > 0 ? "in a moment" : "just now";
  return distance > 0 ? `in ${amount(length, 0.5)}` : `${amount(length, 0)} ago`;
}

function amount(length, up) {
  const [minutes, hours, days] = [MINUTE, HOUR, DAY].map((unit) => Math.floor(length / unit + up));
  if (minutes < 60) return `${minutes} min`;
  if (hours < 24) return `${hours} h`;
  if (days < 60) return days === 1 ? "1 day" : `${days} days`;
  if (days < 730) return `${Math.floor((days * 12) / 365)} months`;
  return `${Math.floor(days / 365)} years`;
}

function put(node, property, value) {
  if (node[property] !== value) node[property] = value;
}

// The viewer's time zone, and a time as <input type="datetime-local"> takes it.
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");
export const fieldValue = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
