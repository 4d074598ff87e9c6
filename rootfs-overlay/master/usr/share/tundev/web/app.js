/* The page: hears the master, draws the view that follows, does what a person clicks. */

import { drawAsk, openAsk, startAsk } from "/static/ask.js";
import { drawConnecting } from "/static/connecting.js";
import { announce, find, show, write } from "/static/dom.js";
import { Model } from "/static/model.js";
import { acceptable, goOn, lookByName } from "/static/moving.js";
import { Server } from "/static/server.js";
import { drawSession, tickSession } from "/static/session.js";
import { drawSites, startSites } from "/static/sites.js";
import { aboutSession, drawChecks, drawStatus, drawTrouble } from "/static/status.js";
import { plain, sentence } from "/static/words.js";

/** A stream that is back within this time was not worth a word, ms. */
const CALM = 1200;

const server = new Server();
const model = new Model();
let shown = "";
let first = true;
let lostTimer = 0;

function draw() {
  const view = model.moving ? "moving" : model.view;
  const now = server.now();
  show(find("#loading"), view === "loading");
  show(find("#signin"), view === "signin");
  show(find("#moving"), view === "moving");
  show(find("#status"), view === "sites");
  show(find("#sites"), view === "sites");
  show(find("#connecting"), view === "connecting" || view === "failed");
  show(find("#session"), view === "session");
  drawStatus(model);
  drawTrouble(model);
  drawEnded(view);
  if (view === "sites") drawSites(model, now);
  if (view === "connecting" || view === "failed") drawConnecting(model);
  if (view === "session") drawSession(model, now);
  drawAsk();
  drawLost(view);
  document.body.dataset.view = view;
  if (view !== shown) changed(view);
}

/** What a person should notice when one view follows another. */
function changed(view) {
  const before = shown;
  shown = view;
  const site = model.wish?.name ?? plain(model.agent?.onsite ?? "the site");
  document.title = { connecting: `Connecting to ${site}`, session: `Connected: ${site}` }[view] ?? "Remote access";
  if (view !== "sites" && find("#ask").open) find("#ask").close();
  if (view === "signin") find("#pin").focus();
  if (view === "session") announce(`Connected to ${site}`);
  if (!before || before === "loading") return;
  window.scrollTo(0, 0);
  if (view === "session") find("#session-title").focus({ preventScroll: true });
  if (view === "connecting") find("#connecting-title").focus({ preventScroll: true });
  if (view === "failed") find("#retry").focus({ preventScroll: true });
  // Not on a phone, whose keyboard would cover the page.
  if (view === "sites" && matchMedia("(hover: hover)").matches) find("#search").focus({ preventScroll: true });
}

function drawEnded(view) {
  const card = find("#ended");
  const { ended } = model;
  show(card, view === "sites" && Boolean(ended));
  if (!ended) return;
  const trouble = !ended.wished && aboutSession(model) ? model.state.trouble : null;
  card.classList.toggle("bad", !ended.wished);
  write(find("h2", card), plain(trouble?.title ?? "The session is over"));
  write(find("[data-is=text]", card), sentence(plain(trouble?.text ?? ended.text)));
  drawChecks(find("[data-is=checks]", card), trouble?.checks);
  show(find("#again"), Boolean(model.wish));
}

function drawLost(view) {
  const text = find("#lost-text");
  show(find("#lost"), model.lost && view !== "moving");
  if (!model.lost) return;
  write(text, model.silent
    ? "Silent while your laptop is on the site's network. This page comes back by itself."
    : "No connection to the master. Trying again…");
}

async function connect(wish) {
  model.ask(wish);
  draw();
  const { name: _, ...body } = wish;
  try {
    await server.connect(body);
  } catch (error) {
    if (model.silent && error.name === "Lost") return;  // its answer was on the way as the link went
    model.fail({ text: error.message, hint: error.hint });
    draw();
  }
}

async function leave() {
  model.leaving = true;
  model.cancelled = !model.up;
  draw();
  try {
    await server.disconnect();
  } catch (error) {
    if (error.name !== "NoSession") announce(error.message);
    model.leaving = false;
  }
  draw();
}

function startClicks() {
  startSites((row) => openAsk(row, model), draw);
  startAsk(connect);
  find("#cancel").addEventListener("click", leave);
  find("#disconnect").addEventListener("click", leave);
  find("#retry").addEventListener("click", () => connect(model.wish));
  find("#back").addEventListener("click", () => {
    model.failure = null;
    model.steps = [];
    draw();
  });
  find("#again").addEventListener("click", () => connect(model.wish));
  find("#dismiss").addEventListener("click", () => {
    model.dismissed = model.ended.text;
    model.ended = null;
    draw();
  });
  find("#signin-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const pin = find("#pin");
    write(find("#signin-error"), "");
    try {
      await server.login(pin.value);
    } catch (error) {
      write(find("#signin-error"), plain([error.message, error.hint].filter(Boolean).join("; ")));
    }
    pin.value = "";
    pin.focus();
  });
}

function startHearing() {
  const on = (name, act) => server.addEventListener(name, (event) => {
    act(event.detail);
    draw();
  });
  on("session", (session) => {
    model.session = session;
  });
  on("state", (state) => {
    clearTimeout(lostTimer);
    model.lost = false;
    model.take(state, server.now(), first);
    first = false;
  });
  on("step", ({ text }) => model.step(text));
  on("failed", ({ error }) => {
    if (model.asked) model.fail(error);
  });
  on("moving", ({ url }) => {
    if (!acceptable(url) || model.moving) return;
    model.moving = url;
    goOn(url);
  });
  server.addEventListener("lost", () => {
    first = true;
    clearTimeout(lostTimer);
    lostTimer = setTimeout(() => {
      model.lost = true;
      draw();
      // Bridged, that name would be looked for in the customer's network.
      if (model.place === "port" && !model.silent && !model.moving) lookByName();
    }, model.lost || !model.state ? 0 : CALM);
  });
}

setInterval(() => {
  if (document.hidden || !model.state || model.moving) return;
  if (model.view === "session") tickSession(model, server.now());
  if (model.view === "sites") drawSites(model, server.now());
}, 1000);

startClicks();
startHearing();
draw();
server.start();
