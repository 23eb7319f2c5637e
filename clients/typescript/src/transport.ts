import type { components } from "./schema.js";
import { GatepassError } from "./errors.js";
import type { CallOptions, Options } from "./options.js";
import { reveal } from "./secret.js";

type Problem = components["schemas"]["Problem"];

/** One call of the API. */
export interface Request extends CallOptions {
  method: "GET" | "POST" | "PUT" | "PATCH";
  /** Made by {@link pathOf}. */
  path: string;
  query?: Record<string, string | number | undefined>;
  /** JSON, or a form. */
  body?: unknown;
  headers?: Record<string, string | undefined>;
  /** Whether a repetition changes nothing more than the call itself. */
  repeatable: boolean;
}

/** A 2xx answer. */
export interface Answer {
  body: Record<string, unknown>;
  headers: Headers;
}

const VERSION = "0.1.0";
const TIMEOUT_MS = 10_000;
const RETRIES = 2;
/** A server that asks for a longer wait is left to the caller. */
const LONGEST_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 250;
/** Answers after which a call may succeed unchanged. */
const PASSING = new Set([408, 429, 502, 503, 504]);
/** The change stands, so a repetition has nothing left to do. */
const NOT_CONFIRMED = "not_confirmed";

/** Calls Gatepass with one credential. It follows no redirect: another server isn't asked. */
export class Transport {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #timeout: number;
  readonly #retries: number;
  readonly #fetch: typeof globalThis.fetch;

  constructor(options: Options) {
    this.#url = baseUrl(options.url);
    const key = reveal(options.key);
    // Otherwise fetch would refuse the header, in words that contain the key.
    if (!/^[!-~]+$/.test(key)) throw new TypeError("key must be a credential's text");
    this.#headers = {
      Accept: "application/json",
      Authorization: `Bearer ${key}`,
      "User-Agent": `gatepass-typescript/${VERSION}`,
    };
    this.#timeout = positive("timeout", options.timeout ?? TIMEOUT_MS, 1);
    this.#retries = positive("retries", options.retries ?? RETRIES, 0);
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** Carry a call out. Throws a {@link GatepassError} for everything but a 2xx answer. */
  async send(request: Request): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(request);
      } catch (error) {
        if (!(error instanceof GatepassError)) throw error;
        const wait = request.repeatable && attempt < this.#retries ? waitAfter(error, attempt) : null;
        if (wait === null) throw error;
        await pause(wait, request.signal, `${request.method} ${request.path}`);
      }
    }
  }

  async #attempt(request: Request): Promise<Answer> {
    const call = `${request.method} ${request.path}`;
    const deadline = AbortSignal.timeout(this.#timeout);
    const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline;
    const form = request.body instanceof URLSearchParams;
    const headers = new Headers(this.#headers);
    if (request.body !== undefined) {
      headers.set("Content-Type", form ? "application/x-www-form-urlencoded" : "application/json");
    }
    for (const [name, value] of Object.entries(request.headers ?? {})) {
      if (value !== undefined) headers.set(name, value);
    }
    let response: Response;
    let text: string;
    try {
      response = await this.#fetch(this.#url + request.path + queryOf(request.query), {
        method: request.method,
        headers,
        body: form ? String(request.body) : JSON.stringify(request.body) ?? null,
        redirect: "manual",
        signal,
      });
      text = await response.text();
    } catch (error) {
      if (request.signal?.aborted) throw new GatepassError(call, "aborted", "The caller ended it.");
      const late = deadline.aborted;
      throw new GatepassError(
        call,
        late ? "timeout" : "unreachable",
        late ? `No answer within ${this.#timeout} ms.` : "No answer.",
        { cause: error },
      );
    }
    const body = objectOf(text);
    const { status } = response;
    if (status >= 200 && status < 300) {
      if (body !== null) return { body, headers: response.headers };
      throw badAnswer(call, status);
    }
    const retryAfter = secondsOf(response.headers.get("Retry-After"));
    if (!isProblem(body)) throw badAnswer(call, status, retryAfter);
    throw new GatepassError(call, body.reason, body.detail, { status, problem: body, retryAfter });
  }
}

/** An answer that isn't one of Gatepass. Its text isn't in the error: it may repeat the request. */
export function badAnswer(call: string, status: number, retryAfter: number | null = null): GatepassError {
  return new GatepassError(call, "bad_answer", "The answer isn't one of Gatepass.", {
    status,
    retryAfter,
  });
}

/** A path of segments, each of them percent-encoded. */
export function pathOf(...segments: string[]): string {
  for (const each of segments) {
    // URLs resolve these: the call would be another one.
    if (each === "" || each === "." || each === "..") {
      throw new TypeError("an id must not be empty, \".\" or \"..\"");
    }
  }
  return `/v1/${segments.map(encodeURIComponent).join("/")}`;
}

function baseUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError("url must be an http or https URL");
  }
  const plain = !url.username && !url.password && !/[?#]/.test(url.href);
  if (!/^https?:$/.test(url.protocol) || !plain) {
    throw new TypeError("url must be an http or https URL without user, query and fragment");
  }
  return url.href.replace(/\/+$/, "");
}

function positive(name: string, value: number, least: number): number {
  if (!Number.isFinite(value) || value < least) throw new RangeError(`${name} must be at least ${least}`);
  return value;
}

function queryOf(query: Request["query"]): string {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}

function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    const object = typeof value === "object" && value !== null && !Array.isArray(value);
    return object ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function isProblem(body: Record<string, unknown> | null): body is Problem & Record<string, unknown> {
  return typeof body?.["reason"] === "string" && typeof body["detail"] === "string";
}

/** Milliseconds to wait before a repetition; null if there must be none. */
function waitAfter(error: GatepassError, attempt: number): number | null {
  const passing = error.status === 0 ? error.reason !== "aborted" : PASSING.has(error.status);
  if (!passing || error.reason === NOT_CONFIRMED) return null;
  const asked = (error.retryAfter ?? 0) * 1000;
  if (asked > LONGEST_WAIT_MS) return null;
  // Clients that failed together don't come back together.
  const own = FIRST_WAIT_MS * 2 ** attempt * (0.5 + Math.random() / 2);
  return Math.max(asked, own);
}

/** The seconds of a Retry-After, which is a number or a date. */
function secondsOf(value: string | null): number | null {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}

function pause(ms: number, signal: AbortSignal | undefined, call: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer);
      reject(new GatepassError(call, "aborted", "The caller ended it."));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    if (signal?.aborted) aborted();
    else signal?.addEventListener("abort", aborted, { once: true });
  });
}
