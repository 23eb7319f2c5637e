// What a token can do, from where and until when, worded like wording.py on the dashboard's pages.
const ORDER = ["read", "search", "create", "edit", null, "deactivate", "delete", "manage"];
const WORDS = { get: "read", modify: "edit", update: "edit" };
// Together these are called managing a resource.
const MANAGED = [["get"], ["search"], ["create"], ["modify", "update"], ["deactivate", "delete"]];
const MOST_CLAUSES = 4;

// A list of strings and <time> elements.
export function ability({ texts, time }, { permissions, networks, domains, expires_at, unused_days }) {
  const values = { actions: can(texts, permissions), where: where(texts, networks, domains) };
  const said =
    expires_at === null
      ? texts.parts("sentence.forever", values)
      : texts.parts("sentence.until", { ...values, time: time(expires_at) });
  return unused_days ? [...said, " ", ...texts.parts("sentence.unused", { count: unused_days })] : said;
}

export function can(texts, permissions) {
  const byResource = Map.groupBy([...new Set(permissions)].sort(), (name) => name.split(":")[0]);
  const clauses = new Map();
  for (const [resource, names] of byResource) {
    const verbs = verbsOf(texts, new Set(names.map((name) => name.split(":")[1])));
    clauses.set(verbs, [...(clauses.get(verbs) ?? []), worded(texts, "resources", resource)]);
  }
  let said = [...clauses].map(([verbs, resources]) =>
    texts.of("sentence.clause", { verbs, resources: texts.some(resources) }),
  );
  if (said.length > MOST_CLAUSES) {
    const others = [...clauses.values()].slice(MOST_CLAUSES - 1).flat().length;
    said = [...said.slice(0, MOST_CLAUSES - 1), texts.of("sentence.moreResources", { count: others })];
  }
  return said.length
    ? said.reduce((first, then) => texts.of("sentence.clauses", { first, then }))
    : texts.of("sentence.nothing");
}

// A part of a permission in words: the host page's, or its own with spaces for dashes.
export function worded(texts, group, part) {
  const own = texts.find(`${group}.${part}`);
  return own === undefined ? part.replaceAll("-", " ") : String(own);
}

function where(texts, networks, domains) {
  const parts = [];
  if (domains.length) parts.push(texts.of("sentence.on", { domains: texts.some(domains) }));
  if (networks.length) parts.push(texts.of("sentence.from", { networks: texts.some(networks) }));
  return parts.join(", ") || texts.of("sentence.anywhere");
}

function verbsOf(texts, actions) {
  if (actions.has("*")) return texts.of("sentence.everythingWith");
  if (MANAGED.every((ways) => ways.some((action) => actions.has(action)))) {
    for (const action of MANAGED.flat()) actions.delete(action);
    actions.add("manage");
  }
  const known = (action) => WORDS[action] ?? action;
  const place = (action) => ORDER.indexOf(ORDER.includes(known(action)) ? known(action) : null);
  const sorted = [...actions].sort((a, b) => place(a) - place(b) || (known(a) < known(b) ? -1 : 1));
  return texts.list([...new Set(sorted.map((action) => worded(texts, "verbs", action)))]);
}
