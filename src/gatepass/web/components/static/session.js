// The portal session: redeems codes and calls the API. Its token stands in this object and nowhere else.
const API = new URL("../v1/", import.meta.url);

// Why a call failed: `reason` and so on as in the API's problem documents; "unreachable" if no answer could be read.
export class Problem extends Error {
  // An answer that is no problem document comes from a server in between, or from a fault.
  constructor(status, { reason = "internal_error", detail = "", errors = [], current = null }) {
    super(detail);
    Object.assign(this, { status, reason, detail, errors, current });
  }
}

// An Idempotency-Key.
export const randomKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Session {
  #token = null;
  #owner = null;
  #opened;
  #open;
  #began;
  #ended;
  #expiry;
  #unsure = 0;
  #redeeming;

  // `began(me)`: called with /v1/me of a new session before calls go on in it, so that what was begun for another owner
  // can be dropped. `ended(reason)`: called when there is no session any more, and another code has to be redeemed.
  constructor({ began, ended }) {
    this.#began = began;
    this.#ended = ended;
    this.#wait();
  }

  // How many sessions ended or codes failed since a call last succeeded.
  get failures() {
    return this.#unsure;
  }

  // Redeems a code, whose session replaces the one before. A later code takes precedence over it.
  async redeem(code) {
    this.#redeeming?.abort();
    const { signal } = (this.#redeeming = new AbortController());
    try {
      const { record } = await send("POST", "portal-sessions/redeem", { body: { code }, signal });
      const me = await send("GET", "me", { token: record.token, signal });
      if (signal.aborted) return;
      this.#token = record.token;
      this.#owner = `${me.record.company.id} ${me.record.user.id}`;
      this.#follow(Date.parse(record.expires_at));
      this.#began(me.record);
      this.#open();
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      // The session before ends, too: the page may have meant to change the owner.
      this.#end(this.#token, problem.reason);
    }
  }

  // Calls the API, and once there is a session: while there is none it waits, so that what a person began goes on
  // when the host page hands in a code. Returns {record, etag}.
  async call(method, path, options = {}) {
    const owner = this.#owner;
    for (;;) {
      while (!this.#token) await this.#opened;
      options.signal?.throwIfAborted();
      // What was begun for one owner is never done for another.
      if (owner && owner !== this.#owner) throw new Problem(0, { reason: "not_found" });
      const token = this.#token;
      try {
        const answer = await send(method, path, { ...options, token });
        this.#unsure = 0;
        return answer;
      } catch (problem) {
        // 401 is about the session alone, and nothing was done.
        if (problem.status !== 401) throw problem;
        this.#end(token, problem.reason);
      }
    }
  }

  // Forgets the session.
  close() {
    this.#redeeming?.abort();
    clearTimeout(this.#expiry);
    if (this.#token) this.#wait();
    this.#token = null;
  }

  #wait() {
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  // Of several calls that are refused at the same time, one ends the session.
  #end(token, reason) {
    if (this.#token !== token) return;
    this.close();
    this.#ended(reason);
    this.#unsure++;
  }

  // Asks the server once the session should have expired: clocks differ, and only the server's counts.
  #follow(expiresAt) {
    clearTimeout(this.#expiry);
    const ask = () => {
      if (document.hidden) document.addEventListener("visibilitychange", ask, { once: true });
      else if (this.#token) this.call("GET", "me").catch(() => {});
    };
    this.#expiry = setTimeout(ask, Math.max(1000, expiresAt - Date.now() + 200));
  }
}

async function send(method, path, { token, body, etag, key, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  if (etag) headers["If-Match"] = etag;
  if (key) headers["Idempotency-Key"] = key;
  let answer, record;
  try {
    answer = await fetch(new URL(path, API), {
      method,
      headers,
      signal,
      body: body && JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      // On Gatepass's own page a GET has no Origin: then the Referer names it.
      referrerPolicy: "origin",
    });
    record = await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (!answer || answer.ok) throw new Problem(0, { reason: "unreachable" });
  }
  if (!answer.ok) throw new Problem(answer.status, record ?? {});
  return { record, etag: answer.headers.get("ETag") };
}
