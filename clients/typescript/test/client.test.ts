import assert from "node:assert/strict";
import { test } from "node:test";
import { format, inspect } from "node:util";
import { Admin, GatepassError, Secret, Verifier, external } from "@gatepass/client";

const TOKEN = "gpat_4fT0aB3cD5eF7gH9_the_text_of_a_token";
const KEY = "gpvk_4fT0aB3cD5eF7gH9_the_text_of_a_key";
const URL_ = "https://tokens.example.com";
const ALLOWED = { allowed: true, reason: "allowed", status: 200, needed: [] };

type Reply = { status?: number; headers?: Record<string, string>; body?: unknown } | Error;
type Asked = { method: string; url: string; headers: Headers; body: string | null };

/** A `fetch` that answers one reply after the other, the last one again and again. */
function script(...replies: Reply[]) {
  const asked: Asked[] = [];
  const fetch = async (url: string | URL | globalThis.Request, init: RequestInit = {}) => {
    asked.push({
      method: init.method!,
      url: String(url).slice(URL_.length),
      headers: new Headers(init.headers),
      body: init.body as string | null,
    });
    assert.equal(init.redirect, "manual");
    const reply = replies.length > 1 ? replies.shift()! : replies[0]!;
    init.signal?.throwIfAborted();
    if (reply instanceof Error) throw reply;
    const text = typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body);
    return new Response(text, { status: reply.status ?? 200, headers: reply.headers ?? {} });
  };
  const options = { url: URL_, key: KEY, fetch };
  return { asked, verifier: new Verifier(options), admin: new Admin(options), options };
}

const problem = (status: number, reason: string, headers = {}): Reply => ({
  status,
  headers,
  body: { type: "about:blank", title: "T", status, reason, detail: "Why." },
});

async function failure(call: Promise<unknown>, reason: string): Promise<GatepassError> {
  const error = await call.then(
    () => assert.fail("it succeeded"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof GatepassError, String(error));
  assert.equal(error.reason, reason);
  assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error), /the_text_of/);
  return error;
}

test("only a whole decision is one", async () => {
  const odd = ["", "null", "[]", "true", '"allowed"', "<html>", "{}", { allowed: true }, { ...ALLOWED, allowed: "true" }];
  const more = [{ ...ALLOWED, allowed: 1 }, { ...ALLOWED, reason: "token_invalid" }, { allowed: false, reason: "allowed" }];
  for (const body of [...odd, ...more]) {
    const { verifier } = script({ body });
    await failure(verifier.verify({ token: TOKEN, permission: "charges:get" }), "bad_answer");
    await failure(verifier.verifyBatch([{ token: TOKEN }]), "bad_answer");
    await failure(verifier.introspect(TOKEN), "bad_answer");
  }
  for (const decisions of [[], [ALLOWED], [ALLOWED, ALLOWED, ALLOWED], [ALLOWED, null]]) {
    await failure(script({ body: { decisions } }).verifier.verifyBatch([{}, {}]), "bad_answer");
  }
});

test("an error is never allowed", async () => {
  for (const status of [301, 302, 307, 400, 401, 403, 404, 422, 500]) {
    const { asked, verifier } = script({ status, body: ALLOWED, headers: { Location: "/elsewhere" } });
    assert.equal((await failure(verifier.verify({ token: TOKEN }), "bad_answer")).status, status);
    assert.equal(asked.length, 1);
  }
});

test("a problem is typed", async () => {
  const body = {
    type: "about:blank",
    title: "Invalid",
    status: 422,
    reason: "invalid",
    detail: "Why.",
    errors: [{ field: "label", message: "Must be shorter." }],
    needed: ["charges:get"],
    address: "192.0.2.1",
    help: `${URL_}/decisions/dec_1`,
    current: { label: "Till" },
  };
  const error = await failure(script({ status: 422, body }).admin.companies.put("a", { name: "b" }), "invalid");
  const { status, reason, detail, errors, needed, address, help, current } = error;
  const { type: _, title: __, ...told } = body;
  assert.deepEqual({ status, reason, detail, errors, needed, address, help, current }, told);
  assert.equal(error.message, "PUT /v1/companies/by-external-id/a: 422 invalid: Why.");
});

test("what is safe is repeated", async () => {
  const calls = {
    GET: (admin: Admin) => admin.companies.get("com_1"),
    PUT: (admin: Admin) => admin.companies.put("a", { name: "b" }),
    POST: (admin: Admin) => admin.companies.deactivate("com_1"),
  };
  const passing = [new TypeError("fetch failed"), problem(503, "unavailable"), { status: 502, body: "<html>" }];
  for (const [method, call] of Object.entries(calls)) {
    for (const first of passing) {
      const { asked, admin } = script(first, { body: { id: "com_1" } });
      assert.equal((await call(admin)).id, "com_1");
      const keys = asked.map((each) => each.headers.get("Idempotency-Key"));
      assert.deepEqual(asked.map((each) => each.method), [method, method]);
      assert.equal(keys[0], keys[1]);
      assert.equal(keys[0] !== null, method === "POST");
    }
  }
  const { verifier } = script(problem(503, "stale"), { body: ALLOWED });
  assert.equal((await verifier.verify({ token: TOKEN })).allowed, true);
});

test("nothing else is repeated", async () => {
  const patched = script(problem(503, "unavailable"));
  await failure(patched.admin.companies.modify("com_1", { name: "b" }, { ifMatch: '"1"' }), "unavailable");
  assert.equal(patched.asked[0]!.headers.get("If-Match"), '"1"');
  // The change stands.
  const stands = script(problem(503, "not_confirmed"));
  await failure(stands.admin.companies.deactivate("com_1"), "not_confirmed");
  // Too long a wait is the caller's.
  const late = script(problem(429, "too_many_attempts", { "Retry-After": "900" }));
  const error = await failure(late.admin.companies.get("com_1"), "too_many_attempts");
  assert.equal(error.retryAfter, 900);
  const never = script(problem(503, "unavailable"));
  await failure(new Admin({ ...never.options, retries: 0 }).companies.get("com_1"), "unavailable");
  for (const { asked } of [patched, stands, late, never]) assert.equal(asked.length, 1);
});

test("Retry-After is kept to", async () => {
  const { asked, admin } = script(problem(429, "too_many_attempts", { "Retry-After": "1" }), { body: { id: "com_1" } });
  const started = performance.now();
  await admin.companies.get("com_1");
  // Never sooner; how much later depends on the machine.
  assert.ok(performance.now() - started > 990);
  assert.equal(asked.length, 2);
  const at = new Date(Date.now() + 3_600_000).toUTCString();
  const error = await failure(script(problem(503, "stale", { "Retry-After": at })).admin.companies.get("com_1"), "stale");
  assert.ok(Math.abs(error.retryAfter! - 3600) < 120);
});

test("the caller's signal ends a call", async () => {
  const { asked, verifier } = script({ body: ALLOWED });
  await failure(verifier.verify({ token: TOKEN }, { signal: AbortSignal.abort() }), "aborted");
  const waiting = new AbortController();
  const { admin } = script(problem(503, "stale", { "Retry-After": "20" }));
  const call = failure(admin.companies.get("com_1", { signal: waiting.signal }), "aborted");
  setImmediate(() => waiting.abort());
  await call;
  assert.equal(asked.length, 1);
  const hanging = (_: unknown, init: RequestInit = {}) =>
    new Promise<Response>((_, reject) => init.signal!.addEventListener("abort", () => reject(init.signal!.reason)));
  const slow = new Verifier({ url: URL_, key: KEY, fetch: hanging, timeout: 1, retries: 0 });
  // The deadline itself doesn't keep the process alive.
  const alive = setInterval(() => {}, 1000);
  await failure(slow.verify({ token: TOKEN }), "timeout");
  clearInterval(alive);
});

test("what is sent", async () => {
  const { asked, verifier } = script({ body: ALLOWED }, { body: { active: true, scope: "charges:get" } });
  await verifier.verify({ token: new Secret(TOKEN), permission: "charges:get" });
  assert.deepEqual(JSON.parse(asked[0]!.body!), { token: TOKEN, permission: "charges:get" });
  assert.equal(asked[0]!.headers.get("Authorization"), `Bearer ${KEY}`);
  const told = await verifier.introspect(TOKEN, { address: "::1" });
  assert.ok(told.active && told.scope === "charges:get");
  assert.equal(asked[1]!.body, `token=${TOKEN}&address=%3A%3A1`);
  assert.equal(asked[1]!.headers.get("Content-Type"), "application/x-www-form-urlencoded");
  const changed = script({ body: {}, headers: { ETag: '"2"' } });
  const record = await changed.admin.accessTokens.modify(external("a/b"), "gpat_1", { expires_at: null });
  assert.equal(record.etag, '"2"');
  assert.equal(changed.asked[0]!.url, "/v1/companies/ext%3Aa%2Fb/access-tokens/gpat_1");
  assert.equal(changed.asked[0]!.body, '{"expires_at":null}');
});

test("a creation that isn't confirmed is kept", async () => {
  const body = { id: "gpat_1", token: TOKEN };
  const headers = { "Gatepass-Confirmed": "false" };
  const { asked, admin } = script({ status: 201, body, headers }, { status: 201, body }, { status: 201, body: { id: "1" } });
  const token = { label: "Till", kind: "api" as const, permissions: ["charges:get"], owner: { id: "ext_1" } };
  const create = () => admin.accessTokens.create("com_1", token, { idempotencyKey: "my-own-attempt-1" });
  const made = await create();
  assert.equal(made.confirmed, false);
  assert.equal(made.token.reveal(), TOKEN);
  assert.equal(asked[0]!.headers.get("Idempotency-Key"), "my-own-attempt-1");
  assert.equal((await create()).confirmed, true);
  await failure(create(), "bad_answer");
});

test("a list goes on with its cursor", async () => {
  const pages = [
    { body: { items: [{ id: "1" }, { id: "2" }], next: "a" } },
    { body: { items: [], next: "b" } },
    { body: { items: [{ id: "3" }], next: null } },
  ];
  const { asked, admin } = script(...pages);
  const found = await Array.fromAsync(admin.companies.list({ external_id: "x y" }));
  assert.deepEqual(found.map((each) => each.id), ["1", "2", "3"]);
  assert.equal(asked[2]!.url, "/v1/companies?external_id=x+y&cursor=b");
  for (const body of [{}, { items: [] }, { items: {}, next: null }, { items: [], next: 1 }]) {
    await failure(Array.fromAsync(script({ body }).admin.companies.list()), "bad_answer");
  }
  const endless = script({ body: { items: [], next: "a" } });
  await failure(Array.fromAsync(endless.admin.companies.list()), "bad_answer");
});

test("a secret is shown nowhere", async () => {
  const secret = new Secret(TOKEN);
  const { verifier, admin } = script({ status: 201, body: { id: "gpat_1", token: TOKEN } });
  const token = { label: "Till", kind: "api" as const, permissions: [], owner: {} };
  const made = await admin.accessTokens.create("com_1", token);
  for (const each of [secret, { secret }, [secret], verifier, admin, made]) {
    const hidden = { depth: 9, showHidden: true };
    const shown = `${each} ${inspect(each, hidden)} ${format("%s %o %j", each, each, each)} ${JSON.stringify(each)}`;
    assert.doesNotMatch(shown, /the_text_of/);
  }
  assert.equal(`${secret}`, "[secret]");
  assert.equal(secret.reveal(), TOKEN);
});

test("what can't be asked for isn't sent", async () => {
  const { asked, admin, options } = script({ body: {} });
  for (const id of ["", ".", ".."]) {
    assert.throws(() => admin.companies.put(id, { name: "b" }), TypeError);
    assert.throws(() => admin.owners.list(id), TypeError);
  }
  for (const url of ["", "tokens.example.com", "ftp://a", "https://user:secret@a", "https://secret@a", "https://a?b=c", "https://a#b", "https://a?", "https://a/#"]) {
    assert.throws(() => new Verifier({ ...options, url }), (error) => !String(error).includes("secret"));
  }
  for (const key of ["", "a b", `${KEY}\n`, "Schlüssel"]) {
    assert.throws(() => new Verifier({ ...options, key }), (error) => !String(error).includes("the_text_of"));
  }
  assert.throws(() => new Verifier({ ...options, timeout: 0 }), RangeError);
  assert.equal(asked.length, 0);
});
