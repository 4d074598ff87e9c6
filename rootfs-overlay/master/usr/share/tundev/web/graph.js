/* The round-trip times of the last two minutes as a line, broken where an answer was lost. */

import { find, write } from "/static/dom.js";
import { MINUTES_SHOWN } from "/static/model.js";
import { milliseconds } from "/static/words.js";

const WIDTH = 600;
const HEIGHT = 120;
const SPAN = MINUTES_SHOWN * 60 * 1000;
/** Without a sample for so long the line is broken: more than three of the agent's probes, ms. */
const GAP = 7000;
const LEAST_TOP = 10;

export function drawGraph(samples, now) {
  const shown = samples.filter((sample) => sample.at > now - SPAN - GAP);
  const times = shown.filter((sample) => sample.rtt !== null).map((sample) => sample.rtt);
  const top = roundUp(Math.max(LEAST_TOP, ...times) * 1.15);
  const x = (sample) => WIDTH * (1 - (now - sample.at) / SPAN);
  const y = (sample) => HEIGHT * (1 - sample.rtt / top);
  const graph = find("#graph");
  find(".graph-lines", graph).setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const parts = unbroken(shown);
  const line = (part) => part.map((sample) => `${x(sample).toFixed(1)} ${y(sample).toFixed(1)}`).join("L");
  const area = (part) => `M${x(part[0]).toFixed(1)} ${HEIGHT}L${line(part)}L${x(part.at(-1)).toFixed(1)} ${HEIGHT}Z`;
  find(".graph-line", graph).setAttribute("d", parts.map((part) => `M${line(part)}${part.length === 1 ? "h.1" : ""}`).join(""));
  find(".graph-area", graph).setAttribute("d", parts.filter((part) => part.length > 1).map(area).join(""));
  write(find("#graph-top"), `${top} ms`);
  write(find("#graph-middle"), `${top / 2}`);
  const lost = shown.length - times.length;
  const range = times.length ? `${milliseconds(Math.min(...times))} to ${milliseconds(Math.max(...times))} ms` : "";
  const told = [range, lost ? `${lost} lost` : ""].filter(Boolean).join(", ");
  write(find("#rtt-range"), told);
  graph.setAttribute("aria-label", `Round-trip times of the last two minutes: ${told || "none yet"}`);
}

/** Runs of samples with no lost answer and no silence between them. */
function unbroken(samples) {
  const parts = [];
  let part = null;
  let before = null;
  for (const sample of samples) {
    if (sample.rtt === null || (before && sample.at - before.at > GAP)) part = null;
    if (sample.rtt !== null) {
      if (!part) parts.push((part = []));
      part.push(sample);
    }
    before = sample;
  }
  return parts;
}

/** The next of 10, 20, 40, 50, 100, … that is not less. */
function roundUp(number) {
  const unit = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 4, 5, 10].find((step) => step * unit >= number) * unit;
}
