/* What is known, in the technician's words. Pure: nothing here touches the document or the network. */

const BIDI_AND_CONTROL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const UPLINKS = { lan: "Ethernet", wlan: "Wi-Fi", "3g": "Mobile", other: "Other" };

export const MODES = { L3: "Routed", L2: "Bridged" };

/** What a device or a person wrote, without what could turn a line around or hide a part of it. */
export function plain(text) {
  return String(text ?? "").replace(BIDI_AND_CONTROL, "\ufffd");
}

/** It begins with a capital, as what stands alone does, unless with a name: rpi1100, rdv.example.com. */
export function sentence(text) {
  return /^\p{Ll}+(\s|$)/u.test(text) ? text[0].toLocaleUpperCase() + text.slice(1) : text;
}

/** The name a person knows a site by. */
export function siteName(row) {
  return plain(row.label || row.id);
}

export function uplink(kind) {
  return UPLINKS[kind] ?? plain(kind);
}

/** Whether the site can be bridged: Wi-Fi and modems carry no foreign MAC address. */
export function bridgeable(row) {
  return row.uplink === "lan";
}

/** 12 s, 4 min, 3 h 05 min, 2 d 4 h: for how long something has been so. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  const days = Math.floor(hours / 24);
  return days < 14 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** 0:07, 12:34, 1:02:03: a clock that runs. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = number;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

export function milliseconds(number) {
  return number < 10 ? number.toFixed(1) : String(Math.round(number));
}

/** The instant as this browser's country writes it. */
export function instant(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.valueOf()) ? plain(iso) : date.toLocaleString(undefined, {
    dateStyle: "medium", timeStyle: "medium",
  });
}

export function timeOfDay(iso) {
  return new Date(iso).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
}

export function reach(told) {
  return { lan: "the site's LAN", all: "all that the onsite can reach" }[told] ?? plain(told);
}

/** Whether a session could take the technician's port, now or as soon as something is plugged in. */
export function portHopes(port) {
  return Boolean(port) && port.state !== "refused";
}

/** The technician's port: how it stands (ok, busy, wait, bad), a title, what to know about it. */
export function portWords(port) {
  if (!port) {
    return { tone: "bad", title: "Adapter unknown", text: "The adapter's service does not answer." };
  }
  const what = plain(port.product || port.interface || "");
  const reason = sentence(plain(port.reason ?? ""));
  switch (port.state) {
    case "absent":
      return { tone: "wait", title: "No adapter", text: "Plug the USB adapter into the master." };
    case "no_cable":
      return { tone: "wait", title: "No cable", text: "Connect the adapter to your laptop.", what };
    case "checking":
      return { tone: "busy", title: "Checking the adapter", text: reason || "Looking for other networks on it.", what };
    case "ready":
      return { tone: "ok", title: "Adapter ready", text: laptopWords(port), what };
    case "borrowed":
      return { tone: "ok", title: "Adapter in use", text: laptopWords(port) || "It carries the session.", what };
    case "refused":
      return { tone: "bad", title: "Adapter refused", text: reason || "Another network is on it.", what };
    default:
      return { tone: "wait", title: "Adapter", text: plain(port.state), what };
  }
}

function laptopWords(port) {
  if (!port.lease) return port.state === "ready" ? "No laptop has asked for an address yet." : "";
  const name = plain(port.laptop ?? "");
  return name ? `${name} has ${port.lease}` : `The laptop has ${port.lease}`;
}

const REACHED = [
  "LAN_wait", "IP_addr_OK", "RDVServer_IP_OK", "RDVServer_TCP_OK",
  "SSL_tunnel_OK", "SSH_connection_OK", "Tunnel_connection_OK", "Session_OK",
];
const LINKS = [
  ["IP_addr_OK", "Network"], ["RDVServer_IP_OK", "Name"], ["RDVServer_TCP_OK", "Server"],
  ["SSL_tunnel_OK", "TLS"], ["SSH_connection_OK", "Signed in"],
];

/** The further one of two states of the agent. */
export function further(one, other) {
  return REACHED.indexOf(one) >= REACHED.indexOf(other) ? one : other;
}

/** The way to the RDV server as steps, each done, failed, busy or ahead. reached: the furthest state. */
export function chain(agent, reached) {
  const at = REACHED.indexOf(reached ?? "LAN_wait");
  const inTls = reached === "SSL_tunnel_OK" || Boolean(agent?.transport && agent.transport !== "ssh");
  let open = true;
  return LINKS.filter(([state]) => inTls || state !== "SSL_tunnel_OK").map(([state, title]) => {
    if (agent && at >= REACHED.indexOf(state)) return { title, is: "done" };
    const is = open ? (agent?.failure || !agent ? "failed" : "busy") : "ahead";
    open = false;
    return { title, is };
  });
}

export function online(agent) {
  return REACHED.indexOf(agent?.state) >= REACHED.indexOf("SSH_connection_OK");
}

/** The connection to the RDV server, as portWords has the port. */
export function serverWords(agent) {
  if (!agent) return { tone: "bad", title: "Agent not running", text: "The master's agent does not answer." };
  const server = plain(agent.server ?? "the RDV server");
  if (online(agent)) {
    const way = agent.transport && agent.transport !== "ssh" ? ` by ${plain(agent.transport).replace("tls", "TLS")}` : "";
    // Which uplink it is need only be known where there are several.
    const network = agent.uplinks ? `, over ${uplink(agent.uplink_type)}` : "";
    return { tone: "ok", title: "Connected", text: `${server}${way}${network}`, note: plain(agent.note ?? "") };
  }
  if (agent.failure) return { tone: "bad", title: "Not connected", text: sentence(plain(agent.failure)) };
  return { tone: "busy", title: "Connecting", text: server };
}

/** The rows in which each of the words typed occurs, sorted by name. */
export function matching(rows, typed) {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;
  return rows
    .filter((row) => {
      const text = [row.id, row.label, row.location, row.lan, row.hostname].join(" ").toLocaleLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => order(siteName(a), siteName(b)) || order(a.id, b.id));
}
