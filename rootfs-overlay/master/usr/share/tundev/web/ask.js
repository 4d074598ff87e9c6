/* The dialog before connecting: how, why, and for how long. */

import { element, fill, find, show, write } from "/static/dom.js";
import { bridgeable, plain, portHopes, portWords, siteName } from "/static/words.js";

/** How long the session waits for the adapter where there is none yet, s. */
const PATIENCE = 120;
/** What ends a bridged session by itself unless something else is chosen, s. */
const BRIDGED_LIMIT = "3600";

let row = null;
let model = null;
let chosenLimit = false;

/** connect: called with the wish. */
export function startAsk(connect) {
  const form = find("#ask-form");
  form.addEventListener("change", (event) => {
    if (event.target.name === "seconds") chosenLimit = true;
    if (event.target.name === "mode" && !chosenLimit) {
      form.elements.seconds.value = event.target.value === "L2" ? BRIDGED_LIMIT : "0";
    }
    drawAsk();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { mode, reason, seconds } = form.elements;
    find("#ask").close();
    connect({
      onsite: row.id,
      name: siteName(row),
      mode: mode.value,
      reason: reason.value.trim(),
      seconds: Number(seconds.value),
      patience: model.state?.port?.state === "ready" ? 0 : PATIENCE,
    });
  });
  find("#ask-cancel").addEventListener("click", () => find("#ask").close());
  find("#ask").addEventListener("click", (event) => {
    if (event.target === find("#ask")) find("#ask").close();
  });
}

export function openAsk(wanted, known) {
  row = wanted;
  model = known;
  chosenLimit = false;
  find("#ask-form").reset();
  drawAsk();
  if (!find("#ask").open) find("#ask").showModal();
  find("#ask-connect").focus();
}

/** Also while it is open: the port may come and go. */
export function drawAsk() {
  if (!row) return;
  const form = find("#ask-form");
  write(find("#ask-title"), `Connect to ${siteName(row)}`);
  write(find("#ask-where"), [plain(row.location), plain(row.lan)].filter(Boolean).join(" · "));
  const possible = bridgeable(row);
  find("#ask-l2").disabled = !possible;
  write(find("#ask-l2-text"), possible
    ? "As if your laptop were plugged into the site's switch."
    : "Not possible here: the onsite is not on a wired network.");
  const silent = form.elements.mode.value === "L2" && model.place === "port";
  show(find("#ask-silent"), silent);
  drawWays(find("#ask-silent [data-is=ways]"), Number(form.elements.seconds.value), model.state?.page);
  const port = model.state?.port ?? null;
  const words = portWords(port);
  show(find("#ask-port"), port?.state !== "ready");
  write(find("#ask-port"), portHopes(port)
    ? `${words.title}. ${words.text} The session waits two minutes for it.`
    : `${words.title}. ${words.text}`);
  find("#ask-connect").disabled = !portHopes(port);
}

/** How a session ends that this page cannot end. */
export function drawWays(list, seconds, page) {
  const hours = Math.round(seconds / 3600);
  const ways = [
    ["you pull the adapter or its cable out"],
    seconds ? [`${hours === 1 ? "an hour is" : `${hours} hours are`} over`] : null,
    [element("code", {}, "masterdev disconnect"), " is typed on the master"],
    page?.uplink_page && page.uplink_address
      ? ["it is ended on this page as seen from the support LAN, ", element("span", { class: "mono" }, `http://${plain(page.uplink_address).split("/")[0]}/`)]
      : null,
  ].filter(Boolean);
  fill(list, [seconds, page ?? null], () => ways.map((parts) => element("li", {}, ...parts)));
}
