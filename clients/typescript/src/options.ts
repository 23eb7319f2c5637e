import type { Secret } from "./secret.js";

/** Where Gatepass is, and how to call it. */
export interface Options {
  /** Where it is served, such as `https://tokens.example.com`; for decisions, also the verify port's. */
  url: string;
  /** The credential: a verifier key (`gpvk_…`) or an admin key (`gpak_…`). */
  key: string | Secret;
  /** Milliseconds that one attempt may take, by default 10,000. */
  timeout?: number;
  /** How often a call that is safe to repeat is repeated, by default 2. */
  retries?: number;
  /** Replaces the platform's `fetch`, for a proxy, a Unix socket or tests. */
  fetch?: typeof globalThis.fetch;
}

/** What holds for one call. */
export interface CallOptions {
  /** Ends the call with the reason `aborted`. */
  signal?: AbortSignal;
}

/** For calls that create or act. */
export interface PostOptions extends CallOptions {
  /**
   * Names this attempt, for 24 hours: the same key with the same body gets the same answer, secrets
   * included. By default a random one, which lets the client repeat the call, but not your program.
   */
  idempotencyKey?: string;
}

/** For calls that change a record. */
export interface ChangeOptions extends CallOptions {
  /** The record's `etag`: if somebody changed it meanwhile, the call is 409 `changed_meanwhile`. */
  ifMatch?: string;
}
