/* The master's side of the page: requests, and the events that carry the state.
 *
 * The stream is opened anew by hand rather than by EventSource itself, for browsers differ in which
 * failures they try again after: an adapter that flaps must not end it.
 */

const FIRST_WAIT = 700;
const LAST_WAIT = 5000;
/** Longer than two of the server's signs of life: a stream that is silent for that is dead. */
const SILENCE = 12000;
const ANSWER = 8000;
const FORBIDDEN = 403;
const LOGIN = "/api/login";

/** An error as the server words it. */
export class Refusal extends Error {
  constructor({ name = "Error", text = "something went wrong", hint = "" } = {}) {
    super(text);
    this.name = name;
    this.hint = hint;
  }
}

export class Server extends EventTarget {
  #csrf = null;
  #source = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #silence = 0;
  #skew = 0;
  #starting = false;

  constructor() {
    super();
    // The browser knows of a link that went before the connection does.
    addEventListener("offline", () => this.#lost());
    addEventListener("online", () => this.start());
  }

  /** The master's clock, in ms: the laptop's may be wrong. */
  now() {
    return Date.now() + this.#skew;
  }

  /** Find out who we are to it, then listen; tells `session`, `state`, `step`, `failed`, `moving`, `lost`. */
  async start() {
    clearTimeout(this.#timer);
    this.#close();
    // One at a time: of two answers the one's cookie would not go with the other's token.
    if (this.#starting) return;
    this.#starting = true;
    try {
      const session = await this.#session();
      this.#tell("session", session);
      if (!session.pin_needed || session.signed_in) this.#listen();
    } catch {
      this.#lost();
    } finally {
      this.#starting = false;
    }
  }

  async login(pin) {
    const session = await this.#post(LOGIN, { pin });
    this.#take(session);
    this.#tell("session", session);
    this.#listen();
  }

  connect(wish) {
    return this.#post("/api/connect", wish);
  }

  disconnect() {
    return this.#post("/api/disconnect", {}, 60000);
  }

  async #session() {
    const answer = await fetch("/api/session", { cache: "no-store", signal: AbortSignal.timeout(ANSWER) });
    if (!answer.ok) throw new Refusal();
    const told = Date.parse(answer.headers.get("Date") ?? "");
    // The header counts whole seconds; less than two are no difference.
    if (told) this.#skew = Math.abs(told - Date.now()) < 2000 ? 0 : told - Date.now();
    const session = await answer.json();
    this.#take(session);
    return session;
  }

  #take(session) {
    this.#csrf = session.csrf;
  }

  async #post(path, body, patience = ANSWER) {
    let answer;
    try {
      answer = await this.#send(path, body, patience);
      if (answer.status === FORBIDDEN && path !== LOGIN) {
        // The cookie is another one by now: the master began anew, or another window did.
        await this.#session();
        answer = await this.#send(path, body, patience);
      }
    } catch {
      throw new Refusal({ name: "Lost", text: "the master does not answer", hint: "check the cable to the adapter" });
    }
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refusal(told.error);
    return told;
  }

  #send(path, body, patience) {
    return fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF": this.#csrf ?? "" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patience),
    });
  }

  #listen() {
    this.#close();
    const source = new EventSource("/api/events");
    this.#source = source;
    for (const name of ["state", "step", "failed", "moving"]) {
      source.addEventListener(name, (event) => {
        this.#heard();
        this.#tell(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("alive", () => this.#heard());
    source.addEventListener("error", () => this.#lost());
  }

  #heard() {
    this.#wait = FIRST_WAIT;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(), SILENCE);
  }

  #lost() {
    this.#close();
    this.#tell("lost");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), this.#wait);
    this.#wait = Math.min(this.#wait * 1.6, LAST_WAIT);
  }

  #close() {
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = null;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
