/* Small words for the document. Text goes in as text: nothing here parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

export function find(selector, within = document) {
  return within.querySelector(selector);
}

/** An element with these attributes and children. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** One of the symbols that stand at the top of index.html. */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  made.append(use);
  return made;
}

/** Set the text where it differs, so that nothing is selected away or read again for nothing. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, shown) {
  node.hidden = !shown;
}

/** The children of `parent`, made by `make` where `facts` differ from the last time. */
export function fill(parent, facts, make) {
  const told = JSON.stringify(facts);
  if (parent.dataset.told === told) return;
  parent.dataset.told = told;
  parent.replaceChildren(...make());
}

/** Something that a screen reader should say when it is done with what it says now. */
export function announce(text) {
  write(find("#announcer"), text);
}
