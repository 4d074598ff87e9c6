/* What the page knows, and which of its views follows from that. */

import { further, online } from "/static/words.js";

export const MINUTES_SHOWN = 2;
/** What was asked for is kept over a reload of the page, not longer than its tab. */
const WISH = "wish";

export class Model {
  session = null;
  state = null;
  lost = false;
  moving = null;
  /** What this page asked for last: {onsite, name, mode, reason, seconds}. */
  wish = JSON.parse(sessionStorage.getItem(WISH) ?? "null");
  /** Between the click and the session, or its failure. */
  asked = false;
  cancelled = false;
  leaving = false;
  failure = null;
  steps = [];
  samples = [];
  ended = null;
  dismissed = null;
  /** The agent's state; while it tries again and again, how far it came before it failed. */
  reached = null;
  #sawSession = false;

  get agent() {
    return this.state?.agent ?? null;
  }

  get place() {
    return this.session?.place ?? "port";
  }

  get underWay() {
    return Boolean(this.agent?.session || this.agent?.step);
  }

  get up() {
    return Boolean(this.agent?.session) && this.agent.state === "Session_OK";
  }

  /** Bridged, this page cannot be reached from the adapter. */
  get silent() {
    const mode = this.agent?.session ? this.agent.mode : this.asked ? this.wish?.mode : null;
    return this.place === "port" && mode === "L2";
  }

  /** loading, signin, sites, connecting, failed or session. */
  get view() {
    if (this.session?.pin_needed && !this.session.signed_in) return "signin";
    if (!this.state) return "loading";
    if (this.up && !this.silent) return "session";
    if (this.failure) return "failed";
    if (this.asked || this.underWay) return "connecting";
    return "sites";
  }

  ask(wish) {
    Object.assign(this, {
      wish, asked: true, cancelled: false, leaving: false, failure: null, ended: null, dismissed: null, steps: [],
      samples: [],
    });
    sessionStorage.setItem(WISH, JSON.stringify(wish));
  }

  fail(failure) {
    this.asked = false;
    this.failure = this.cancelled ? null : failure;
    this.cancelled = false;
  }

  step(text) {
    if (!this.steps.includes(text)) this.steps.push(text);
  }

  /** A new state. at: ms. first: it is the first one of a stream, so events before it were missed. */
  take(state, at, first) {
    const before = this.agent;
    this.state = state;
    const agent = this.agent;
    // An attempt that fails begins anew at once: what it had reached was told before its failure was.
    const failed = Boolean(agent?.failure) && agent.state !== "LAN_wait" && !online(before) && !online(agent);
    this.reached = failed ? further(agent.state, this.reached) : agent?.state ?? null;
    if (agent?.step) this.step(agent.step);
    if (this.up) {
      if (!before?.session) this.samples = [];
      this.asked = false;
      this.failure = null;
      this.#sawSession = true;
      this.#sample(agent, at);
      return;
    }
    if (!this.underWay) {
      this.leaving = false;
      if (this.asked && first) {
        // It came and went while nothing was heard, as in L2, or never came.
        this.asked = this.cancelled = false;
        this.#sawSession = true;
      }
      this.ended = this.#ending(agent);
      if (!this.asked && !this.failure) this.steps = [];
      if (!this.asked) this.#sawSession = this.#sawSession && Boolean(agent?.ended);
    } else {
      this.ended = null;
    }
  }

  /** Why the last session is over, if that is worth telling: it was seen here, or nobody wished it. */
  #ending(agent) {
    if (!agent?.ended || agent.ended === this.dismissed || this.failure || this.asked) return null;
    if (agent.ended_as_wished && !this.#sawSession) return null;
    return { text: agent.ended, wished: Boolean(agent.ended_as_wished) };
  }

  #sample(agent, at) {
    const last = this.samples.at(-1);
    const sample = { at, rtt: agent.rtt_ms ?? null, rx: agent.rx_bytes ?? null, tx: agent.tx_bytes ?? null };
    if (last && last.rtt === sample.rtt && last.rx === sample.rx && last.tx === sample.tx) return;
    this.samples.push(sample);
    const oldest = at - (MINUTES_SHOWN * 60 + 10) * 1000;
    while (this.samples[0].at < oldest) this.samples.shift();
  }
}
