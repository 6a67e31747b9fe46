const HEIGHT = 420; // of a figure that says nothing else, in pixels
// Figures are drawn when they come into view.
const drawn = new Set();
let kept = new Map(); // those of the page before, when a live one renews itself
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    draw(target);
  }
}, { rootMargin: "300px" });

// Plotly's script is large: it is run when the page stands, or when the first figure is wanted before that.
function plotly() {
  if (!window.Plotly) document.head.append(make("script", {}, document.getElementById("plotly").textContent));
  return window.Plotly;
}

// The axes that a switch turns, by name: "x" is "xaxis", if the figure says nothing else.
const axesOf = (figure, name) => figure.axes?.[name] ?? [name + "axis"];
const scaleOf = (figure, name) => figure.layout[axesOf(figure, name)[0]]?.type ?? "linear";

// The light colours are also those of an exported figure.
function colour(name, light = false) {
  const element = light ? document.querySelector(".light") : root;
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function layoutOf(figure, key, light = false) {
  const [chosen, zoom] = [state.axes[key] ?? {}, state.zoom[key] ?? {}];
  const line = colour("--line", light);
  const own = figure.layout;
  const layout = {
    height: HEIGHT,
    ...own,
    hoverlabel: { bgcolor: colour("--raised", light), bordercolor: line, font: { color: colour("--text", light) } },
    paper_bgcolor: light ? colour("--page", light) : "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--text", light), size: narrow.matches ? 12 : 13, family: getComputedStyle(document.body).fontFamily },
    margin: { l: narrow.matches ? 10 : 60, r: 15, t: 15, b: 50 },
    legend: { orientation: "h", y: -0.2, yanchor: "top", x: 0 },
    dragmode: narrow.matches ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--text") },
  };
  for (const name of ["xaxis", "yaxis", ...Object.keys(own).filter((key) => /^[xy]axis\d/.test(key))]) {
    layout[name] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...own[name] };
  }
  for (const [name, type] of Object.entries(chosen)) {
    if (type === scaleOf(figure, name)) continue;
    for (const axis of axesOf(figure, name)) {
      const text = (own[axis].title?.text ?? "").replace(" (log)", "");
      Object.assign(layout[axis], { type, title: { text: text + (type === "log" ? " (log)" : "") } });
      for (const fixed of ["range", "dtick", "nticks", "exponentformat"]) delete layout[axis][fixed];
    }
  }
  for (const [axis, range] of Object.entries(zoom)) Object.assign(layout[axis], { range });
  return layout;
}

// Plotly itself forgets a zoom when new records move the window behind it.
function noteZoom(plot, key) {
  plot.on("plotly_relayout", (change) => {
    const zoom = (state.zoom[key] ??= {});
    for (const name of Object.keys(change)) {
      const [axis, what] = name.split(/[.[]/);
      if (what === "range") zoom[axis] = [...plot.layout[axis].range];
      if (what === "autorange") delete zoom[axis];
    }
  });
}

function draw(plot) {
  const key = plot.id.replace("plot-", "");
  const figure = plot.figure ?? data.figures[key];
  plotly().react(plot, figure.data, layoutOf(figure, key), {
    responsive: true, displaylogo: false, displayModeBar: narrow.matches ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"],
  });
  if (!drawn.has(plot)) noteZoom(plot, key);
  drawn.add(plot);
}

function redraw() {
  for (const plot of drawn) plot.isConnected ? draw(plot) : drawn.delete(plot);
}

function axisButton(plot, key, figure, name) {
  const isLog = () => (state.axes[key]?.[name] ?? scaleOf(figure, name)) === "log";
  const toggle = button(`log ${name}`, () => {
    state.axes[key] = { ...state.axes[key], [name]: isLog() ? "linear" : "log" };
    for (const axis of axesOf(figure, name)) delete state.zoom[key]?.[axis];
    toggle.setAttribute("aria-pressed", isLog());
    draw(plot);
  }, { class: "switch", "aria-pressed": String(isLog()) });
  return toggle;
}

// White background and light colours whatever the page wears: a figure goes into a paper.
async function saveFigure(plot, key) {
  const figure = plot.figure ?? data.figures[key];
  const { width, height } = plot.getBoundingClientRect();
  const size = { width: Math.max(Math.round(width), 700), height: Math.max(Math.round(height), 320) };
  const picture = { data: figure.data, layout: { ...layoutOf(figure, key, true), ...size } };
  const svg = await plotly().toImage(picture, { format: "svg", imageDataOnly: true, ...size });
  save(fileName(comparisonOf(plot)?.name, key) + ".svg", "image/svg+xml", svg);
}

function prepareFigure(place, figure) {
  const plot = kept.get(place.id) ?? place;
  if (plot !== place) place.replaceWith(plot);
  const key = plot.id.replace("plot-", "");
  const bar = tools(plot);
  for (const name of figure.switches) bar.append(axisButton(plot, key, figure, name));
  bar.append(button("SVG", () => saveFigure(plot, key), { "aria-label": `Save figure ${key} as SVG` }));
  plot.style.minHeight = `${figure.layout.height ?? HEIGHT}px`; // its place is kept: drawn, it moves nothing
  watcher.observe(plot);
}
