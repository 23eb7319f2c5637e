import type { components } from "./schema.js";

type Problem = components["schemas"]["Problem"];

/** A field that isn't valid, and what it must be. */
export type FieldError = components["schemas"]["FieldError"];

/**
 * The reasons of this client; all others are the server's.
 *
 * - `unreachable`: no answer arrived, or only a part of one.
 * - `timeout`: no answer arrived in time.
 * - `aborted`: the caller's signal ended the call.
 * - `bad_answer`: the answer isn't one of Gatepass, so it decides nothing.
 */
export type ClientReason = "unreachable" | "timeout" | "aborted" | "bad_answer";

/**
 * A call that failed or was refused. It never means "allowed".
 *
 * No credential is in it: neither its own nor one that it asked about.
 */
export class GatepassError extends Error {
  override readonly name = "GatepassError";
  /** The HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** What programs switch on: a reason of the server or a {@link ClientReason}. New ones can be added. */
  readonly reason: string;
  /** A sentence for people. */
  readonly detail: string;
  /** The fields that aren't valid (422). */
  readonly errors: readonly FieldError[];
  /** The permissions that the call needed, if the server says so. */
  readonly needed: readonly string[];
  /** The address that the server saw, if it says so. */
  readonly address: string | null;
  /** The page that explains the refusal, if there is one. */
  readonly help: string | null;
  /** The record as it is now: of a conflict, or of a change that stands (`not_confirmed`). */
  readonly current: Readonly<Record<string, unknown>> | null;
  /** Seconds to wait before another attempt, if the server says so. */
  readonly retryAfter: number | null;

  constructor(
    call: string,
    reason: string,
    detail: string,
    more: { status?: number; problem?: Problem; retryAfter?: number | null; cause?: unknown } = {},
  ) {
    const { status = 0, problem, retryAfter = null, cause } = more;
    const answered = status === 0 ? "" : `${status} `;
    super(`${call}: ${answered}${reason}: ${detail}`, cause === undefined ? {} : { cause });
    this.status = status;
    this.reason = reason;
    this.detail = detail;
    this.errors = problem?.errors ?? [];
    this.needed = problem?.needed ?? [];
    this.address = problem?.address ?? null;
    this.help = problem?.help ?? null;
    this.current = problem?.current ?? null;
    this.retryAfter = retryAfter;
  }
}
