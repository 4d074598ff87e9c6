/* The session that is up: where, how far away, how much, how long. */

import { find, show, write } from "/static/dom.js";
import { drawGraph } from "/static/graph.js";
import { MODES, bytes, clock, duration, instant, milliseconds, plain, reach, siteName, timeOfDay } from "/static/words.js";

/** Over how much of the past a rate is taken, ms: two of the agent's probes. */
const RATE_OVER = 4500;

export function drawSession(model, now) {
  const { agent, samples } = model;
  const row = (model.state.onsites ?? []).find((one) => one.id === agent.onsite);
  const name = row ? siteName(row) : plain(agent.onsite);
  write(find("#session-title"), name);
  write(find("#session-mode"), `${MODES[agent.mode] ?? ""} · ${plain(agent.mode)}`);
  const about = [name === agent.onsite ? "" : plain(agent.onsite), plain(row?.location ?? ""), plain(agent.reason ?? "")];
  write(find("#session-reason"), about.filter(Boolean).join(" · "));
  write(find("#lan"), plain(agent.lan ?? "–"));
  write(find("#dns"), (agent.dns ?? []).map(plain).join(", ") || "none");
  write(find("#reach"), agent.reach ? reach(agent.reach) : "–");
  write(find("#since"), instant(agent.since));
  const button = find("#disconnect");
  button.disabled = model.leaving;
  write(button, model.leaving ? "Disconnecting…" : "Disconnect");
  write(find("#rtt"), agent.rtt_ms == null ? "no answer" : milliseconds(agent.rtt_ms));
  show(find("#rtt-unit"), agent.rtt_ms != null);
  drawTraffic("rx", agent.rx_bytes, samples);
  drawTraffic("tx", agent.tx_bytes, samples);
  write(find("#session-hint"), hint(model));
  tickSession(model, now);
}

/** What changes with the clock alone. */
export function tickSession(model, now) {
  const { agent } = model;
  write(find("#elapsed"), clock((now - Date.parse(agent.since)) / 1000));
  const left = agent.ends ? (Date.parse(agent.ends) - now) / 1000 : null;
  write(find("#left"), left === null ? "no time limit" : `ends in ${duration(left)}, at ${timeOfDay(agent.ends)}`);
  drawGraph(model.samples, now);
}

function drawTraffic(way, total, samples) {
  write(find(`#${way}`), total == null ? "" : `${bytes(total)} in all`);
  const last = samples.at(-1);
  const first = samples.find((sample) => sample.at >= last?.at - RATE_OVER);
  const seconds = last && first ? (last.at - first.at) / 1000 : 0;
  const known = seconds > 0 && first[way] != null && last[way] != null;
  write(find(`#${way}-rate`), known ? `${bytes(Math.max(0, last[way] - first[way]) / seconds)}/s` : "–");
}

function hint(model) {
  if (model.agent.mode === "L2") return "The laptop at the adapter is on the site's network, with an address from there.";
  return "Your laptop asks the site's DNS servers for names while the session lasts. Pulling the adapter ends it.";
}
