// Nodes of a graph are moved by mouse, finger or arrow keys, and their edges follow.
for (const svg of document.querySelectorAll("svg.graph")) {
  const half = Number(svg.dataset.height) / 2;
  const nodes = [...svg.querySelectorAll("g.node")];
  const at = nodes.map((node) => node.getAttribute("transform").match(/-?[\d.]+/g).map(Number));
  const start = at.map((place) => [...place]);
  const view = svg.viewBox.baseVal;

  const draw = (edge) => {
    const [x1, y1] = at[edge.dataset.from];
    const [x2, y2] = at[edge.dataset.to];
    const sign = y2 >= y1 ? 1 : -1;
    const first = y1 + sign * half;
    const last = y2 - sign * (half + 2);
    const bend = Math.max(Math.abs(last - first) / 2, 12) * sign;
    edge.setAttribute("d", `M${x1},${first} C${x1},${first + bend} ${x2},${last - bend} ${x2},${last}`);
  };
  const edges = [...svg.querySelectorAll("path.edge")];
  const move = (i, x, y) => {
    at[i] = [Math.min(Math.max(x, 0), view.width), Math.min(Math.max(y, half), view.height - half)];
    nodes[i].setAttribute("transform", `translate(${at[i][0]},${at[i][1]})`);
    for (const edge of edges) if (edge.dataset.from == i || edge.dataset.to == i) draw(edge);
  };
  const show = (i) => {
    for (const edge of edges) edge.classList.toggle("near", edge.dataset.from == i || edge.dataset.to == i);
    svg.classList.toggle("one", i >= 0);
  };

  nodes.forEach((node, i) => {
    let held = null;
    const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    node.tabIndex = 0;
    node.addEventListener("pointerdown", (event) => {
      const point = place(event);
      held = [point.x - at[i][0], point.y - at[i][1]];
      node.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (!held) return;
      const point = place(event);
      move(i, point.x - held[0], point.y - held[1]);
    });
    for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => { held = null; });
    node.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
      if (!by) return;
      move(i, at[i][0] + by[0], at[i][1] + by[1]);
      event.preventDefault();
    });
    for (const enter of ["pointerenter", "focus"]) node.addEventListener(enter, () => show(i));
    for (const leave of ["pointerleave", "blur"]) node.addEventListener(leave, () => { if (!held) show(-1); });
  });
  document.getElementById("graph-reset")?.addEventListener("click", () => start.forEach(([x, y], i) => move(i, x, y)));
}
