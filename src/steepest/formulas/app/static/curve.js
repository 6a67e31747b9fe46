// Two small charts of a training: loss, and accuracy on what is held out.
import { draw, make, percent } from "./tools.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [440, 190, 48, 26];

export function curves(lines, epochs) {
  const loss = chart("Loss of training", lines.map((at) => [at.epoch, at.train_loss]), epochs, (value) => value.toPrecision(2));
  const accuracy = chart("Accuracy on what is held out", lines.map((at) => [at.epoch, at.accuracy]), epochs, percent, 1);
  return make("div", { class: "charts" }, loss, accuracy);
}

function chart(title, points, epochs, shown, top) {
  const finite = points.filter(([, value]) => Number.isFinite(value));
  const values = finite.map(([, value]) => value);
  const low = top === undefined ? 0 : Math.max(0, Math.floor(10 * Math.min(1, ...values)) / 10 - 0.1);
  const high = top ?? (Math.max(0, ...values) || 1);
  const x = (epoch) => LEFT + ((WIDTH - LEFT - 8) * (epoch - 1)) / Math.max(epochs - 1, 1);
  const y = (value) => 10 + ((HEIGHT - BOTTOM - 10) * (high - value)) / (high - low || 1);
  const last = finite.at(-1);
  const grid = [low, (low + high) / 2, high].map((value) => draw("g", {}, draw("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(value), y2: y(value) }),
    draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, top ? `${Math.round(100 * value)} %` : shown(value))));
  const ticks = [1, epochs].filter((value, k, all) => all.indexOf(value) === k).map((epoch) => draw("text", { x: x(epoch), y: HEIGHT - 8, "text-anchor": epoch === 1 ? "start" : "end" }, epoch === 1 ? "epoch 1" : String(epoch)));
  const said = last ? `${title}: ${shown(last[1])} after epoch ${last[0]} of ${epochs}` : `${title}: no epoch yet`;
  return make("figure", { class: "chart" }, make("figcaption", {}, title, last ? make("strong", {}, shown(last[1])) : ""),
    draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said }, ...grid, ...ticks,
      draw("polyline", { class: "curve", points: finite.map(([epoch, value]) => `${x(epoch)},${y(value)}`).join(" ") }),
      last ? draw("circle", { class: "end", cx: x(last[0]), cy: y(last[1]), r: 3.5 }) : ""));
}
