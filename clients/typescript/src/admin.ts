import type { components, operations } from "./schema.js";
import type { CallOptions, ChangeOptions, Options, PostOptions } from "./options.js";
import { Secret } from "./secret.js";
import { badAnswer, pathOf, Transport, type Request } from "./transport.js";

type Schemas = components["schemas"];
/** The filters of a list. */
type Filters<Operation extends keyof operations> = Omit<
  NonNullable<operations[Operation]["parameters"]["query"]>,
  "cursor" | "limit"
>;

export type Company = Schemas["ManagedCompany"];
export type Owner = Schemas["Owner"];
export type AccessToken = Schemas["AccessToken"];
export type NewOwner = Schemas["NamedOwner"];
export type NewAccessToken = Schemas["NewOwnedAccessToken"];
export type AccessTokenChanges = Schemas["AccessTokenChanges"];
export type AccessTokenRotation = Schemas["AccessTokenRotation"];
export type NewVerifierKey = Schemas["NewVerifierKey"];
export type NewPortalSession = Schemas["NewPortalSession"];
export type OwnerFilters = Filters<"company_owners_search">;
export type AccessTokenFilters = Filters<"company_access_tokens_search">;

/** A record as an answer has it. */
export type Answered<T> = T & {
  /** Its version, to send as `ifMatch`; null if it has none. */
  etag: string | null;
  /**
   * False if the server that answered decides by a new record only within seconds; the record
   * exists all the same.
   */
  confirmed: boolean;
};

export type CreatedAccessToken = Answered<AccessToken> & {
  /** Its text, this one time. */
  token: Secret;
};
export type CreatedVerifierKey = Answered<Schemas["VerifierKey"]> & {
  /** Its text, this one time. */
  key: Secret;
};
export type OpenedPortalSession = Answered<{ id: string }> & {
  /** What the page of the session redeems, once, within 60 seconds. */
  code: Secret;
  /** The ready page, with the code in its fragment. */
  url: Secret;
};

/** Your own id, where a company's or an owner's id is expected. */
export function external(id: string): string {
  return `ext:${id}`;
}

/**
 * Manages companies, owners and their access tokens with an admin key.
 *
 * A company or owner is named by its id or by `external("your-id")`. Calls that are safe to repeat
 * are repeated after an error that may pass: all but those with `modify`.
 */
export class Admin {
  readonly companies: Companies;
  readonly owners: Owners;
  readonly accessTokens: AccessTokens;
  readonly verifierKeys: VerifierKeys;
  readonly portalSessions: PortalSessions;

  constructor(options: Options) {
    const calls = new Calls(new Transport(options));
    this.companies = new Companies(calls);
    this.owners = new Owners(calls);
    this.accessTokens = new AccessTokens(calls);
    this.verifierKeys = new VerifierKeys(calls);
    this.portalSessions = new PortalSessions(calls);
  }
}

/** The calls that resources have in common. */
class Calls {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  get<T>(path: string, options: CallOptions): Promise<Answered<T>> {
    return this.#record({ method: "GET", path, repeatable: true, ...options });
  }

  put<T>(path: string, body: object, options: CallOptions): Promise<Answered<T>> {
    return this.#record({ method: "PUT", path, body, repeatable: true, ...options });
  }

  patch<T>(path: string, body: object, options: ChangeOptions): Promise<Answered<T>> {
    const { ifMatch, ...rest } = options;
    const headers = { "If-Match": ifMatch };
    return this.#record({ method: "PATCH", path, body, headers, repeatable: false, ...rest });
  }

  post<T>(path: string, body: object, options: PostOptions): Promise<Answered<T>> {
    const { idempotencyKey = globalThis.crypto.randomUUID(), ...rest } = options;
    const headers = { "Idempotency-Key": idempotencyKey };
    return this.#record({ method: "POST", path, body, headers, repeatable: true, ...rest });
  }

  async *list<T>(path: string, filters: object, options: CallOptions): AsyncGenerator<T, void> {
    let cursor: string | undefined;
    for (;;) {
      const query = { ...filters, cursor };
      const { body } = await this.#transport.send({ method: "GET", path, query, repeatable: true, ...options });
      const { items, next } = body;
      const ends = next === null;
      // A page that names itself as the next one would never end.
      if (!Array.isArray(items) || !(ends || (typeof next === "string" && next !== cursor))) {
        throw badAnswer(`GET ${path}`, 200);
      }
      yield* items as T[];
      if (ends) return;
      cursor = next;
    }
  }

  async #record<T>(request: Request): Promise<Answered<T>> {
    const { body, headers } = await this.#transport.send(request);
    const confirmed = headers.get("Gatepass-Confirmed") !== "false";
    return { ...(body as T), etag: headers.get("ETag"), confirmed };
  }
}

export class Companies {
  readonly #calls: Calls;

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Create the company of your id, or rename the active one that has it. */
  put(externalId: string, company: { name: string }, options: CallOptions = {}) {
    return this.#calls.put<Company>(pathOf("companies", "by-external-id", externalId), company, options);
  }

  get(id: string, options: CallOptions = {}) {
    return this.#calls.get<Company>(pathOf("companies", id), options);
  }

  /** All companies that the key may manage, the newest first. */
  list(filters: Filters<"companies_search"> = {}, options: CallOptions = {}) {
    return this.#calls.list<Company>(pathOf("companies"), filters, options);
  }

  modify(id: string, changes: { name: string }, options: ChangeOptions = {}) {
    return this.#calls.patch<Company>(pathOf("companies", id), changes, options);
  }

  /** End all that the company owns, for good. */
  deactivate(id: string, options: PostOptions = {}) {
    return this.#calls.post<Company>(pathOf("companies", id, "deactivate"), {}, options);
  }
}

export class Owners {
  readonly #calls: Calls;

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Create the owner of your id, or change the active one that has it. */
  put(company: string, externalId: string, owner: NewOwner, options: CallOptions = {}) {
    const path = pathOf("companies", company, "owners", "by-external-id", externalId);
    return this.#calls.put<Owner>(path, owner, options);
  }

  get(company: string, id: string, options: CallOptions = {}) {
    return this.#calls.get<Owner>(pathOf("companies", company, "owners", id), options);
  }

  /** The owners of a company, the newest first. */
  list(company: string, filters: OwnerFilters = {}, options: CallOptions = {}) {
    return this.#calls.list<Owner>(pathOf("companies", company, "owners"), filters, options);
  }

  /** End the owner and its access tokens, for good. */
  deactivate(company: string, id: string, options: PostOptions = {}) {
    const path = pathOf("companies", company, "owners", id, "deactivate");
    return this.#calls.post<Owner>(path, {}, options);
  }
}

export class AccessTokens {
  readonly #calls: Calls;

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Create a token of an owner. Only this answer has its text. */
  create(company: string, token: NewAccessToken, options: PostOptions = {}): Promise<CreatedAccessToken> {
    return this.#create(pathOf("companies", company, "access-tokens"), token, options);
  }

  get(company: string, id: string, options: CallOptions = {}) {
    return this.#calls.get<AccessToken>(pathOf("companies", company, "access-tokens", id), options);
  }

  /** The company's tokens that match all filters, the newest first unless `sort` says otherwise. */
  list(company: string, filters: AccessTokenFilters = {}, options: CallOptions = {}) {
    return this.#calls.list<AccessToken>(pathOf("companies", company, "access-tokens"), filters, options);
  }

  /** Change the named members; an absent one stays as it is. */
  modify(company: string, id: string, changes: AccessTokenChanges, options: ChangeOptions = {}) {
    const path = pathOf("companies", company, "access-tokens", id);
    return this.#calls.patch<AccessToken>(path, changes, options);
  }

  /** Replace a token with a new one, whose text only this answer has. */
  rotate(
    company: string,
    id: string,
    rotation: AccessTokenRotation,
    options: PostOptions = {},
  ): Promise<CreatedAccessToken> {
    return this.#create(pathOf("companies", company, "access-tokens", id, "rotate"), rotation, options);
  }

  /** End a token for good. */
  deactivate(company: string, id: string, options: PostOptions = {}) {
    const path = pathOf("companies", company, "access-tokens", id, "deactivate");
    return this.#calls.post<AccessToken>(path, {}, options);
  }

  async #create(path: string, body: object, options: PostOptions): Promise<CreatedAccessToken> {
    const made = await this.#calls.post<Schemas["CreatedAccessToken"]>(path, body, options);
    return { ...made, token: secretOf(made.token, path) };
  }
}

export class VerifierKeys {
  readonly #calls: Calls;

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Create a verifier key, of all companies or of the ones named. Only this answer has its text. */
  async create(key: NewVerifierKey, options: PostOptions = {}): Promise<CreatedVerifierKey> {
    const path = pathOf("verifier-keys");
    const made = await this.#calls.post<Schemas["CreatedVerifierKey"]>(path, key, options);
    return { ...made, key: secretOf(made.key, path) };
  }
}

export class PortalSessions {
  readonly #calls: Calls;

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Open a session in which an owner manages its access tokens on your page. */
  async create(session: NewPortalSession, options: PostOptions = {}): Promise<OpenedPortalSession> {
    const path = pathOf("portal-sessions");
    const made = await this.#calls.post<Schemas["OpenedPortalSession"]>(path, session, options);
    return { ...made, code: secretOf(made.code, path), url: secretOf(made.url, path) };
  }
}

function secretOf(text: unknown, path: string): Secret {
  if (typeof text !== "string" || text === "") throw badAnswer(`POST ${path}`, 201);
  return new Secret(text);
}
