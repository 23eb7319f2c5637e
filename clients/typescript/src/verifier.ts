import type { components } from "./schema.js";
import type { CallOptions, Options } from "./options.js";
import { reveal, type Secret } from "./secret.js";
import { badAnswer, pathOf, Transport } from "./transport.js";

type Schemas = components["schemas"];

/** A call to decide about: a permission, method and path, or all three. */
export type Call = Omit<Schemas["Call"], "token"> & {
  /** What the caller presented; none, null or "" is `token_missing`. */
  token?: string | Secret | null;
};

/** Whether a call may proceed, and why. Only `allowed: true` means yes. */
export type Decision = Schemas["Decision"];

/** Where a token was presented. Without an address, a token that is limited to networks is inactive. */
export interface Presented {
  address?: string;
  origin?: string;
  referer?: string;
}

/** What RFC 7662 says of a valid token. */
export interface ActiveToken {
  active: true;
  /** The effective permissions, separated by spaces. */
  scope: string;
  client_id: string;
  sub: string;
  token_type: string;
  kind: string;
  company: string;
  /** Unix time in seconds. */
  iat?: number;
  exp?: number;
}

export type Introspection = ActiveToken | { active: false };

/**
 * Asks Gatepass about calls and tokens, with a verifier key.
 *
 * Each method throws a GatepassError if there is no decision: an error never means "allowed".
 * Questions change nothing, so they are repeated after an error that may pass.
 */
export class Verifier {
  readonly #transport: Transport;

  constructor(options: Options) {
    this.#transport = new Transport(options);
  }

  /** Decide about one call. A refusal is a value: look at `allowed`. */
  async verify(call: Call, options: CallOptions = {}): Promise<Decision> {
    const path = pathOf("verify");
    const { body } = await this.#ask(path, plain(call), options);
    if (!isDecision(body)) throw badAnswer(`POST ${path}`, 200);
    return body;
  }

  /** Decide about up to 100 calls; the decisions are in their order. */
  async verifyBatch(calls: readonly Call[], options: CallOptions = {}): Promise<Decision[]> {
    const path = pathOf("verify", "batch");
    const { body } = await this.#ask(path, { calls: calls.map(plain) }, options);
    const decisions = body["decisions"];
    if (!Array.isArray(decisions) || decisions.length !== calls.length || !decisions.every(isDecision)) {
      throw badAnswer(`POST ${path}`, 200);
    }
    return decisions;
  }

  /** Say whether a token is valid here and now (RFC 7662), not whether it may do something. */
  async introspect(
    token: string | Secret,
    presented: Presented = {},
    options: CallOptions = {},
  ): Promise<Introspection> {
    const path = pathOf("introspect");
    const { address, origin, referer } = presented;
    const form = new URLSearchParams({ token: reveal(token) });
    for (const [name, value] of Object.entries({ address, origin, referer })) {
      if (value !== undefined) form.set(name, value);
    }
    const { body } = await this.#ask(path, form, options);
    if (typeof body["active"] !== "boolean") throw badAnswer(`POST ${path}`, 200);
    return body as unknown as Introspection;
  }

  #ask(path: string, body: unknown, options: CallOptions) {
    return this.#transport.send({ method: "POST", path, body, repeatable: true, ...options });
  }
}

function plain(call: Call): Schemas["Call"] {
  const { token, ...rest } = call;
  return token === undefined ? rest : { ...rest, token: token && reveal(token) };
}

function isDecision(value: unknown): value is Decision {
  const { allowed, reason } = (value ?? {}) as Partial<Decision>;
  return typeof allowed === "boolean" && allowed === (reason === "allowed");
}
