/* A session on its way: each step as it comes, and what to do where one fails. */

import { drawWays } from "/static/ask.js";
import { element, find, icon, show, write } from "/static/dom.js";
import { aboutSession, drawChecks } from "/static/status.js";
import { MODES, plain, sentence } from "/static/words.js";

export function drawConnecting(model) {
  const failed = model.view === "failed";
  const { agent, failure } = model;
  const onsite = plain(model.wish?.name ?? agent?.onsite ?? "the site");
  const mode = agent?.mode ?? model.wish?.mode;
  const silent = !failed && model.silent && (model.lost || model.up || model.steps.length > 0);
  write(find("#connecting-mode"), mode ? `${MODES[mode]} · ${mode}` : "");
  write(find("#connecting-title"), title(model, onsite, failed));
  drawSteps(model, failed);
  show(find("#silent"), silent);
  drawWays(find("#silent [data-is=ways]"), model.wish?.seconds ?? 0, model.state?.page);
  show(find("#failure"), failed);
  // Over the bus an error and what to do about it come as one line.
  const [text, ...hints] = failed ? plain(failure.text).split("; ") : [""];
  write(find("#failure [data-is=text]"), sentence(text));
  write(find("#failure [data-is=hint]"), sentence(hints.join("; ") || plain(failure?.hint ?? "")));
  const checks = failed && aboutSession(model) ? model.state.trouble?.checks : [];
  drawChecks(find("#failure [data-is=checks]"), checks);
  show(find("#retry"), failed && Boolean(model.wish));
  show(find("#back"), failed);
  show(find("#cancel"), !failed && !(silent && model.lost));
  find("#cancel").disabled = model.cancelled || model.leaving;
}

function title(model, onsite, failed) {
  if (failed) return `No session with ${onsite}`;
  if (model.cancelled || model.leaving) return "Putting everything back…";
  if (model.silent && (model.lost || model.up)) return `Your laptop goes to ${onsite}`;
  return `Connecting to ${onsite}…`;
}

function drawSteps(model, failed) {
  const steps = model.steps.length ? model.steps : ["asking the master"];
  const last = failed ? "failed" : model.up ? "done" : "busy";
  const list = find("#steps");
  // What is there stays, for a screen reader reads what is added.
  steps.forEach((text, at) => {
    const row = list.children[at] ?? list.appendChild(element("li", {}, element("span"), element("span")));
    write(row.lastElementChild, sentence(plain(text)));
    mark(row, at < steps.length - 1 ? "done" : last);
  });
  while (list.children.length > steps.length) list.lastElementChild.remove();
}

function mark(row, is) {
  if (row.dataset.is === is) return;
  row.dataset.is = is;
  const sign = { done: () => icon("check"), failed: () => icon("cross"), busy: () => element("span", { class: "spinner" }) }[is];
  row.firstElementChild.replaceWith(element("span", { class: "step-mark", "aria-hidden": "true" }, sign()));
}
