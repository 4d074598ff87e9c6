/* The list of sites: found by typing, opened by a click or Enter. */

import { find, show, write } from "/static/dom.js";
import { duration, instant, matching, online, plain, siteName, uplink } from "/static/words.js";

const rows = new Map();
let found = [];

/** open: called with the row that a person wants to connect to. */
export function startSites(open, redraw) {
  const search = find("#search");
  search.addEventListener("input", redraw);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();  // or the same key press would go on to the dialog's button
      if (found.length === 1 && !found[0].in_session) open(found[0]);
    }
    if (event.key === "Escape" && search.value) {
      search.value = "";
      event.preventDefault();
      redraw();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, dialog");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (find("#sites").hidden) return;
    event.preventDefault();
    search.focus();
    search.select();
  });
  find("#site-list").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const id = button?.closest("li").dataset.id;
    const row = found.find((one) => one.id === id);
    if (row) open(row);
  });
}

export function drawSites(model, now) {
  const all = model.state?.onsites ?? [];
  const typed = find("#search").value;
  found = matching(all, typed);
  const list = find("#site-list");
  const wanted = found.map((row) => drawRow(row, now));
  if (wanted.length !== list.children.length || wanted.some((node, at) => node !== list.children[at])) {
    list.replaceChildren(...wanted);
  }
  if (rows.size > all.length) {
    const kept = new Set(all.map((row) => row.id));
    for (const id of rows.keys()) if (!kept.has(id)) rows.delete(id);
  }
  const count = typed.trim() ? `${found.length} of ${all.length}` : all.length ? `${all.length} online` : "";
  write(find("#sites-count"), count);
  show(find("#site-titles"), found.length > 0);
  drawEmpty(model, all, typed);
}

function drawRow(row, now) {
  const node = rows.get(row.id) ?? newRow(row.id);
  const put = (part, text, title = text) => {
    const cell = find(part, node);
    write(cell, text);
    if (cell.title !== title) cell.title = title;
  };
  put(".site-label", siteName(row));
  put(".site-id", plain(row.id), "");
  show(find(".site-id", node), Boolean(row.label) && row.label !== row.id);
  put(".site-location", plain(row.location));
  put(".site-lan", plain(row.lan), "");
  put(".site-uplink", uplink(row.uplink), "");
  put(".site-since", duration((now - Date.parse(row.since)) / 1000), `online since ${instant(row.since)}`);
  const button = find("button", node);
  const busy = Boolean(row.in_session);
  write(button, busy ? `In use by ${plain(row.in_session)}` : "Connect");
  button.disabled = busy;
  node.classList.toggle("is-busy", busy);
  if (!busy) button.setAttribute("aria-label", `Connect to ${siteName(row)}`);
  else button.removeAttribute("aria-label");
  return node;
}

function newRow(id) {
  const node = find("#site-row").content.firstElementChild.cloneNode(true);
  node.dataset.id = id;
  rows.set(id, node);
  return node;
}

function drawEmpty(model, all, typed) {
  const empty = find("#sites-empty");
  show(empty, found.length === 0);
  if (found.length) return;
  let words = ["No onsite is online", "A site appears here by itself as soon as its onsite has dialled in."];
  if (!model.state?.onsites || !online(model.agent)) {
    words = ["No list of sites yet", "It comes as soon as this master is connected to the RDV server."];
  } else if (all.length) {
    words = ["No site matches", `None of ${all.length} has “${plain(typed.trim())}” in its name, location or network.`];
  }
  write(find("[data-is=title]", empty), words[0]);
  write(find("[data-is=text]", empty), words[1]);
}
