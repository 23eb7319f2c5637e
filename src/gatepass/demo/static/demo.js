// Calls the sample API as a customer's website would: from another origin, with a token for UI.
const here = location.origin;
const other = location.hostname === "localhost" ? "127.0.0.1" : "localhost";
const there = `${location.protocol}//${other}${location.port ? `:${location.port}` : ""}`;

const byId = (id) => document.getElementById(id);
let latest;
byId("here").textContent = here;
byId("there").textContent = there;

const calls = {
  list: () => ask("GET", "/demo/v1/charges?limit=8", (charges) => table(charges.items)),
  checkout: () =>
    ask("POST", "/demo/v1/checkouts", (made) =>
      line(`Opened checkout ${made.id} for ${money(made)}.`), { amount: 4900, currency: "AUD" }),
  // Any charge will do: the token lacks the permission.
  refund: () => ask("POST", "/demo/v1/charges/ch_latest/refund", (made) => line(`Refunded: ${made.id}.`)),
};

// How to fix a refused call.
const remedies = {
  origin_not_allowed: location.hostname === "localhost"
    ? `Use the token on one of its domains, or create one with the domain ${location.host}.`
    : "Open this page on localhost, the token's domain. IP addresses such as 127.0.0.1 can't be domains.",
  origin_missing: "Call from a web page: browsers send its origin automatically.",
  permission_missing: "Create a token with this permission, if a web page should be allowed to do this.",
  token_missing: "Paste a token into the field above.",
  token_invalid: "Copy the full text of the token, as shown when it was created.",
  token_deactivated: "Create a new token in the dashboard. A deactivated one can't be restored.",
  token_pending: "A second person must approve this token on its page in the dashboard.",
  token_rehearsed: "Somebody rehearses the deactivation of this token. Exchange it for another one.",
  token_expired: "Create a new token in the dashboard.",
  account_deactivated: "Ask an administrator of the company.",
  address_not_allowed: "Call from one of the token's networks, or add this address to the token.",
  company_address_not_allowed: "Ask an administrator of the company to allow this address.",
};

byId("call").addEventListener("submit", (event) => {
  event.preventDefault();
  calls[event.submitter?.value ?? "list"]();
});
if (byId("token").value) calls.list();

// Only the last call's answer is shown: an earlier one may come after it.
async function ask(method, path, show, body) {
  const call = (latest = Symbol());
  const answer = byId("answer");
  answer.hidden = false;
  answer.setAttribute("aria-busy", "true");
  const token = byId("token").value.trim();
  const started = performance.now();
  let said;
  try {
    const response = await fetch(there + path, {
      method,
      credentials: "omit",
      headers: {
        ...(token ? { Authorization: `Bearer ${token}` } : {}),
        ...(body ? { "Content-Type": "application/json" } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    said = { status: response.status, ok: response.ok, value: await response.json() };
  } catch {
    said = null;
  }
  if (call !== latest) return;
  const took = Math.round(performance.now() - started);
  byId("asked").textContent = `${method} ${there}${path} · ${took} ms`;
  if (!said) {
    outcome("No response", "denied");
    told(line("The browser received no readable response. Is the demo still running?"));
  } else if (said.ok) {
    outcome(`${said.status} allowed`, "allowed");
    told(show(said.value));
  } else {
    outcome(`${said.status} ${said.value.reason}`, "denied");
    told(facts([
      ["Why", said.value.detail],
      ["What you can do", remedies[said.value.reason]],
      ["Where the call came from", `Origin: ${here}`],
    ]));
  }
  answer.setAttribute("aria-busy", "false");
}

function outcome(text, kind) {
  const title = byId("outcome");
  title.textContent = text;
  title.className = kind;
}

function told(node) {
  byId("told").replaceChildren(node);
}

function make(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function line(text) {
  return make("p", text);
}

function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (!value) continue;
    const pair = make("div");
    pair.append(make("dt", name), make("dd", value));
    list.append(pair);
  }
  return list;
}

function money({ amount, currency }) {
  return (amount / 100).toLocaleString(undefined, { style: "currency", currency });
}

function table(charges) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const [name, className] of [["Charge"], ["Created", "made"], ["Status"], ["Amount", "amount"]]) {
    const cell = make("th", name, className);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const charge of charges) {
    const row = body.insertRow();
    row.append(
      make("td", charge.description),
      make("td", new Date(charge.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }), "made muted"),
      make("td", charge.status),
      make("td", money(charge), "amount"),
    );
  }
  return table;
}
