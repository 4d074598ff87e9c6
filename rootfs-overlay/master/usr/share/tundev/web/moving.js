/* The page goes on at another address: where it is told to, or, where it missed the word, by its name. */

import { find, show, write } from "/static/dom.js";

const EVERY = 500;
const PRIVATE = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)(\d{1,3}\.){0,2}\d{1,3}$/;

/** Whether the master may send us there: another private address of its own, nothing else. */
export function acceptable(url) {
  const target = URL.canParse(url) ? new URL(url) : null;
  return target?.protocol === "http:" && target.port === "" && PRIVATE.test(target.hostname) && target.host !== location.host;
}

/** What the master is called on the adapter whatever its address is, by mDNS. */
const NAMED = "http://master.local/";

/** Where nothing is heard at this address, look whether the master is at another one, and go there. */
export async function lookByName() {
  if (location.origin + "/" !== NAMED && (await answers(NAMED))) location.replace(NAMED);
}

/** Ask the new address until it answers, then go there. */
export async function goOn(url) {
  const target = new URL("/", url).href;
  const link = find("#moving-url");
  link.href = target;
  write(link, target);
  show(find("#moving"), true);
  while (!(await answers(target))) {
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
  location.replace(target);
}

async function answers(url) {
  try {
    await fetch(url, { mode: "no-cors", cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(2000) });
    return true;
  } catch {
    return false;
  }
}
