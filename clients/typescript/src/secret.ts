const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/**
 * The text of a credential, which logs, JSON and error messages don't show.
 *
 * Only {@link Secret.reveal} returns it.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself: to hand over or to store, never to log. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [INSPECT](): string {
    return "[secret]";
  }
}

export function reveal(text: string | Secret): string {
  return typeof text === "string" ? text : text.reveal();
}
