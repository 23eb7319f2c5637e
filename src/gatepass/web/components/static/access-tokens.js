// <gatepass-access-tokens code="…">: the access tokens of one owner, in somebody else's page.
//
// The host page's backend opens a portal session (POST /v1/portal-sessions) and hands its code to this element. See
// docs/how-to/portal-component.md for attributes, events, texts and custom properties.
import { Created } from "./created.js";
import { button, h, isolated, notice } from "./dom.js";
import { Permissions } from "./permissions.js";
import { Problem, Session } from "./session.js";
import { ENGLISH } from "./strings.js";
import { STYLES } from "./styles.js";
import { merged, Texts } from "./texts.js";
import { TokenForm, valuesOf } from "./token_form.js";
import { TokenList } from "./token_list.js";

const NAME = "gatepass-access-tokens";
// How long a failed code delays the next event at most, and how often relative times are worded again.
const MOST_WAITING_S = 60;
const CLOCK_MS = 30_000;

// Made once, for all elements. A strict Content-Security-Policy admits it: no inline style is involved.
const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLES);

export class AccessTokens extends HTMLElement {
  static observedAttributes = ["code", "lang"];
  // The texts that `strings` can replace.
  static english = ENGLISH;

  #code;
  #own;
  #catalogue;
  #view;
  #list;
  #clock;
  #session = new Session({ began: (me) => this.#began(me), ended: (reason) => this.#ended(reason) });
  #banner = h("div", { class: "banner" });
  #main = h("div", {});
  #said = h("div", { role: "status", class: "only-read-aloud" });
  // What the views see of this element.
  #portal = {
    session: this.#session,
    root: this.attachShadow({ mode: "open" }),
    show: (view) => this.#show(view),
    showList: (token) => this.#showList(token),
    say: (words) => (this.#said.textContent = words),
    time: (text, relative) => this.#time(text, relative),
    explain: (problem) => this.#explain(problem),
    problem: (problem, again) => this.#problem(problem, again),
    create: () => this.#show(new TokenForm(this.#portal)),
    edit: (token, change) => this.#edit(token, change),
    created: (record) => this.#created(record),
    modified: (record, unconfirmed) => this.#changed("modified", record, unconfirmed),
    deactivated: (record, unconfirmed) => this.#changed("deactivated", record, unconfirmed),
  };

  constructor() {
    super();
    const { root } = this.#portal;
    root.adoptedStyleSheets = [sheet];
    root.append(h("div", { class: "root" }, this.#banner, this.#main, this.#said));
  }

  connectedCallback() {
    // Properties that were set before this module was loaded.
    for (const name of ["strings", "code"]) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    addEventListener("pagehide", this.#hide);
    this.#clock = setInterval(() => this.#tick(), CLOCK_MS);
    this.#word();
    if (!this.#view) this.#open();
    this.#redeem();
  }

  disconnectedCallback() {
    removeEventListener("pagehide", this.#hide);
    clearInterval(this.#clock);
    // A move within the page disconnects and connects at once, and keeps everything.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#session.close();
      this.#portal.me = null;
      this.#drop();
      this.#main.replaceChildren();
      this.#banner.replaceChildren();
    });
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === "code" && value) this.code = value;
    if (name === "lang" && this.isConnected) this.#redraw();
  }

  // The code of a portal session. It is redeemed once, and replaces the session before.
  set code(code) {
    this.#code = code;
    if (this.isConnected) this.#redeem();
  }

  // The texts that replace English ones, by the names in strings.js.
  get strings() {
    return this.#own ?? {};
  }

  set strings(strings) {
    this.#own = strings;
    if (this.isConnected) this.#redraw();
  }

  // --- the session --------------------------------------------------------------------------------

  #redeem() {
    const code = this.#code;
    this.#code = null;
    if (code) this.#session.redeem(String(code));
  }

  // A session for another owner starts from the beginning; one for the same owner goes on.
  #began(me) {
    const before = this.#portal.me;
    this.#portal.me = me;
    this.#banner.replaceChildren();
    this.#portal.root.querySelector("dialog .ended")?.remove();
    this.#main.hidden = false;
    if (before && (before.user.id !== me.user.id || before.company.id !== me.company.id)) {
      this.#drop();
      this.#open();
    } else if (this.#catalogue) this.#portal.permissions = new Permissions(me.permissions, this.#catalogue);
  }

  // Loads what all views need, once there is a session.
  async #open() {
    const view = (this.#view = { leave() {} });
    this.#main.replaceChildren(h("p", { class: "blank muted" }, this.#portal.texts.of("loading")));
    try {
      const { record } = await this.#session.call("GET", "permissions");
      if (this.#view !== view) return;
      this.#catalogue = record.items;
      this.#portal.permissions = new Permissions(this.#portal.me.permissions, this.#catalogue);
      this.#list = new TokenList(this.#portal);
      this.#show(this.#list, false);
    } catch (problem) {
      if (this.#view === view) this.#main.replaceChildren(this.#problem(problem, () => this.#open()));
    }
  }

  // Ends all that is under way.
  #drop() {
    this.#view?.leave();
    this.#list?.leave();
    this.#view = this.#list = this.#catalogue = null;
    this.#portal.root.querySelector("dialog")?.close();
  }

  // Tells the host page that another code is needed. What is in the form stays.
  #ended(reason) {
    const { texts } = this.#portal;
    const group = ["ended.reasons", "problems"].find((each) => texts.find(`${each}.${reason}`));
    const [title, text] = this.#list
      ? ["ended.title", "ended.text"]
      : ["ended.notOpened", group ? `${group}.${reason}` : "ended.reasons.other"];
    const shown = notice("warn", h("strong", {}, texts.of(title)), h("p", {}, texts.of(text)));
    shown.setAttribute("role", "alert");
    this.#banner.replaceChildren(shown);
    // A dialog hides the rest of the page, from screen readers as well.
    const copy = shown.cloneNode(true);
    copy.classList.add("ended");
    this.#portal.root.querySelector("dialog form")?.prepend(copy);
    this.#main.hidden = !this.#list;
    const renew = async (code) => (this.code = await code);
    // A host page that answers each event with a code must not call its backend in a loop.
    const { failures } = this.#session;
    const wait = failures && Math.min(MOST_WAITING_S, 2 ** failures) * 1000;
    setTimeout(() => this.isConnected && this.#emit("gatepass-session-expired", { reason, renew }), wait);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  // --- the views ----------------------------------------------------------------------------------

  // Only the list outlives being left: it is shown again as it was.
  #show(view, focused = true) {
    if (this.#view !== this.#list) this.#view?.leave();
    this.#view = view;
    this.#main.replaceChildren(view.element);
    if (focused) view.focus();
  }

  #showList(token) {
    this.#show(this.#list, false);
    this.#list.focus(token);
  }

  // Edits the version that is stored now, whose ETag it needs. `change`: fields that the form begins with.
  async #edit(token, change) {
    const view = this.#view;
    this.#portal.say(this.#portal.texts.of("loading"));
    try {
      const { record, etag } = await this.#session.call("GET", `access-tokens/${token.id}`);
      const values = valuesOf({ ...record, ...change });
      if (this.#view === view) this.#show(new TokenForm(this.#portal, { token: record, etag, values }));
    } catch (problem) {
      if (this.#view === view) this.#list.tell(this.#problem(problem));
    }
  }

  #created(record) {
    const { token: _, ...told } = record;
    this.#show(new Created(this.#portal, record));
    this.#list.load();
    this.#emit("gatepass-token-created", { token: told });
  }

  #changed(what, record, unconfirmed) {
    const { texts } = this.#portal;
    const words = {
      modified: () => [texts.of("done.saved")],
      deactivated: () => texts.parts("done.deactivated", { label: isolated(record.label) }),
    };
    this.#list.replace(record);
    this.#showList(record);
    this.#list.tell(notice("good", ...(unconfirmed ? [texts.of("done.unconfirmed")] : words[what]())));
    this.#emit(`gatepass-token-${what}`, { token: record });
  }

  // The back button must not bring back a token's text from the browser's memory.
  #hide = () => {
    if (!(this.#view instanceof Created)) return;
    this.#showList();
    this.#list.tell(notice("warn", this.#portal.texts.of("created.gone")));
  };

  // --- texts --------------------------------------------------------------------------------------

  #word() {
    const lang = this.closest("[lang]")?.lang || document.documentElement.lang || "en";
    this.#portal.texts = new Texts(merged(this.#own), lang);
  }

  // Shows everything again in other words; what was typed stays.
  #redraw() {
    this.#word();
    if (!this.#list) return;
    const view = this.#view;
    const list = this.#list;
    this.#list = list.redrawn();
    this.#show(view === list ? this.#list : view.redrawn(), false);
  }

  // A time as the API writes it: exact, or relative to now and exact on hover.
  #time(text, relative = false) {
    const { texts } = this.#portal;
    const at = Date.parse(text);
    const attributes = { datetime: text, "data-relative": relative, title: relative && texts.exact(at) };
    return h("time", attributes, relative ? texts.relative(at) : texts.exact(at));
  }

  #tick() {
    for (const time of this.#portal.root.querySelectorAll("time[data-relative]")) {
      time.textContent = this.#portal.texts.relative(Date.parse(time.dateTime));
    }
  }

  #explain({ reason, detail }) {
    return this.#portal.texts.among("problems", reason, { detail });
  }

  #problem(problem, again) {
    // Anything else is a fault of ours, which the console should show.
    if (problem instanceof Error && !(problem instanceof Problem)) throw problem;
    const { texts } = this.#portal;
    const shown = notice(
      "bad",
      h("strong", {}, texts.of("problems.title")),
      h("p", {}, this.#explain(problem)),
      again && button(texts.of("tryAgain"), { onclick: again }),
    );
    shown.setAttribute("role", "alert");
    return shown;
  }
}

if (!customElements.get(NAME)) customElements.define(NAME, AccessTokens);
