/* The two tiles at the top and what is wrong: read only. */

import { element, fill, find, icon, show, write } from "/static/dom.js";
import { chain, online, plain, portWords, serverWords } from "/static/words.js";

export function drawStatus(model) {
  const { agent, state } = model;
  write(find("#who"), plain(agent?.account ?? ""));
  show(find("#who"), Boolean(agent?.account));
  show(find("#place"), model.place === "uplink");
  if (!state) return;
  const { port } = state;
  const words = portWords(port);
  drawTile(find("#port"), words);
  const others = [...(port?.waiting ?? []).map((other) => `${other} waits`), ...(port?.left_alone ?? [])];
  const notes = [words.what, ...others, port?.moved].filter(Boolean).map(plain);
  fill(find("#port [data-is=notes]"), notes, () => notes.map((note) => element("li", {}, note)));
  drawTile(find("#rdv"), serverWords(agent));
  drawChain(model);
}

function drawTile(tile, { tone, title, text }) {
  tile.dataset.tone = tone;
  write(find("[data-is=title]", tile), title);
  write(find("[data-is=text]", tile), text);
}

function drawChain({ agent, reached }) {
  const steps = chain(agent, reached);
  fill(find("#chain"), steps, () => steps.map(({ title, is }) => {
    const mark = element("span", { class: "chain-mark", "aria-hidden": "true" });
    if (is === "done") mark.append(icon("check"));
    if (is === "failed") mark.append(icon("cross"));
    const words = { done: "done", failed: "failed", busy: "under way", ahead: "not yet" }[is];
    return element("li", { "data-is": is }, mark, title, element("span", { class: "unseen" }, `: ${words}`));
  }));
}

/** The banner; what is told of an ended or failed session stands elsewhere. */
export function drawTrouble(model) {
  const trouble = model.state?.trouble ?? null;
  const banner = find("#trouble");
  // A look at a new adapter takes a moment and is told by its tile: no banner that comes and goes.
  const passing = online(model.agent) && model.state?.port?.state === "checking";
  show(banner, Boolean(trouble) && model.view === "sites" && !passing && !aboutSession(model));
  if (!trouble) return;
  const serious = !online(model.agent) || portWords(model.state.port).tone === "bad";
  banner.classList.toggle("bad", serious);
  banner.classList.toggle("wait", !serious);
  write(find("[data-is=title]", banner), plain(trouble.title));
  write(find("[data-is=text]", banner), plain(trouble.text));
  drawChecks(find("[data-is=checks]", banner), trouble.checks);
  show(find("[data-is=checks-title]", banner), Boolean(trouble.checks?.length));
}

/** Whether the trouble is the last session's end: all else is well. */
export function aboutSession(model) {
  const { agent, state } = model;
  return online(agent) && Boolean(agent.ended) && ["ready", "borrowed"].includes(state.port?.state);
}

export function drawChecks(list, checks) {
  const told = checks ?? [];
  show(list, told.length > 0);
  fill(list, told, () => told.map((check) => element("li", {}, plain(check))));
}
