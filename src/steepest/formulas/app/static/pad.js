// Paper to draw on with pen, mouse or finger: strokes, which the server turns into pixels.
import { draw } from "./tools.js";

const ROOM = 90; // pixels that stay free below the lowest stroke
const PALM = 1500; // milliseconds after a pen's last touch in which a finger is a palm

export class Pad {
  constructor(onchange, { height = 240, grows = true, label = "Paper to draw on" } = {}) {
    this.strokes = [];
    this.onchange = onchange;
    this.grows = grows;
    this.lowest = height;
    this.penAt = -Infinity;
    this.ink = draw("g", { class: "ink" });
    this.boxes = draw("g", { class: "boxes" });
    this.svg = draw("svg", { class: "pad", role: "img", "aria-label": label, height }, this.ink, this.boxes);
    this.svg.addEventListener("pointerdown", (event) => this.begin(event));
    this.svg.addEventListener("pointermove", (event) => this.go(event));
    for (const name of ["pointerup", "pointercancel"]) this.svg.addEventListener(name, (event) => this.end(event));
    // A long touch would open a menu.
    this.svg.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  begin(event) {
    if (this.current || event.button !== 0 || this.svg.classList.contains("choosing")) return;
    if (event.pointerType === "pen") this.penAt = event.timeStamp;
    if (event.pointerType === "touch" && event.timeStamp - this.penAt < PALM) return;
    event.preventDefault();
    this.onbegin?.();
    this.svg.setPointerCapture(event.pointerId);
    this.current = { id: event.pointerId, points: [], line: draw("polyline") };
    this.ink.append(this.current.line);
    this.add(event);
  }

  go(event) {
    if (this.current?.id !== event.pointerId) return;
    if (event.pointerType === "pen") this.penAt = event.timeStamp;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) this.add(one);
  }

  end(event) {
    if (this.current?.id !== event.pointerId) return;
    this.strokes.push(this.current.points);
    this.current = null;
    this.grow();
    this.onchange();
  }

  add(event) {
    const corner = this.svg.getBoundingClientRect();
    const point = [event.clientX - corner.left, event.clientY - corner.top].map((value) => Math.round(10 * value) / 10);
    const { points, line } = this.current;
    const last = points.at(-1);
    if (last && last[0] === point[0] && last[1] === point[1]) return;
    points.push(point);
    line.setAttribute("points", shown(points));
  }

  grow() {
    if (!this.grows) return;
    const low = Math.max(0, ...this.strokes.flat().map(([, y]) => y));
    this.svg.setAttribute("height", Math.max(this.lowest, low + ROOM));
  }

  // Strokes from elsewhere, without telling anybody.
  show(strokes) {
    this.strokes = strokes.map((stroke) => stroke.map((point) => [...point]));
    this.ink.replaceChildren(...this.strokes.map((points) => draw("polyline", { points: shown(points) })));
    this.grow();
  }

  undo() {
    if (!this.strokes.length) return;
    this.show(this.strokes.slice(0, -1));
    this.onchange();
  }

  clear() {
    this.show([]);
    this.boxes.replaceChildren();
    this.onchange();
  }
}

// A single point is a dot.
function shown(points) {
  const drawn = points.length === 1 ? [points[0], [points[0][0] + 0.1, points[0][1]]] : points;
  return drawn.map((point) => point.join(",")).join(" ");
}
