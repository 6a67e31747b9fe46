const [HEIGHT, LOW, MARGIN] = [360, 300, 15]; // of a figure that says nothing else, in pixels; on a phone; above the plot
const PAPER = 680; // width of a printed figure: what A4 and Letter leave between their margins
let paper = false; // while the page is printed
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

// A figure with a row for each method: those that are shown, and how high it is for them.
const rowsOf = (figure) => (figure.rows ?? []).filter(([name]) => !state.hidden.has(name));
const isNarrow = () => narrow.matches && !paper;

function heightOf(figure) {
  if (!figure.rows?.length) return figure.layout.height ?? (isNarrow() ? LOW : HEIGHT);
  return 60 + (figure.layout.margin?.t ?? MARGIN) + Math.max(rowsOf(figure).length, 1) * (isNarrow() ? 36 : 27);
}

function rowAxis(figure) {
  const rows = rowsOf(figure).reverse(); // Plotly stacks categories from the bottom
  return {
    type: "category", categoryorder: "array", categoryarray: rows.map(([name]) => name), fixedrange: true,
    tickmode: "array", tickvals: rows.map(([name]) => name), ticktext: rows.map(([, label]) => label),
    range: [-0.6, rows.length - (isNarrow() ? 0.2 : 0.4)], showticklabels: !isNarrow(), showgrid: !isNarrow(),
  };
}

// On a phone a name stands above its row, where it takes no room from the plot.
function rowNames(figure) {
  const place = { xref: "paper", x: 0, xanchor: "left", yref: "y", yanchor: "bottom", yshift: 6, showarrow: false, font: { size: 11 } };
  return isNarrow() ? rowsOf(figure).map(([name, text]) => ({ ...place, y: name, text })) : [];
}

// From all that is drawn, with its ends: Plotly leaves some out.
function rowRange(figure) {
  const ends = dataOf(figure).flatMap((trace) => {
    const bars = trace.error_x ? [trace.x[0] + trace.error_x.array[0], trace.x[0] - trace.error_x.arrayminus[0]] : [];
    return trace.base ? [trace.base[0], trace.base[0] + trace.x[0]] : [...trace.x, ...bars];
  });
  if (figure.layout.xaxis?.zeroline) ends.push(0);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const margin = 0.04 * (high - low) || 0.01 * Math.abs(high) || 1;
  return ends.length ? { range: [low - margin, high + margin] } : {};
}

// Without the traces of methods that the legend hides.
function dataOf(figure) {
  const shown = figure.data.filter((trace) => trace.meta === undefined || !state.hidden.has(trace.meta));
  return isNarrow() ? shown.map((trace) => (trace.type === "bar" ? { ...trace, width: 0.4 } : trace)) : shown;
}

function layoutOf(figure, key, light = false) {
  const [chosen, zoom] = [state.axes[key] ?? {}, state.zoom[key] ?? {}];
  const line = colour("--line", light);
  const own = figure.layout;
  const layout = {
    ...own,
    height: heightOf(figure),
    hoverlabel: { bgcolor: colour("--raised", light), bordercolor: line, font: { color: colour("--text", light) } },
    paper_bgcolor: light ? colour("--page", light) : "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--text", light), size: isNarrow() ? 12 : 13, family: getComputedStyle(document.body).fontFamily },
    margin: { l: isNarrow() ? 10 : 60, r: 15, t: MARGIN, b: 50, ...own.margin },
    showlegend: own.showlegend === true, // a figure whose lines are not the page's methods brings a legend of its own
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    dragmode: isNarrow() ? false : "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--text") },
  };
  for (const name of ["xaxis", "yaxis", ...Object.keys(own).filter((key) => /^[xy]axis\d/.test(key))]) {
    layout[name] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...own[name] };
  }
  if (figure.rows?.length) {
    Object.assign(layout.yaxis, rowAxis(figure));
    Object.assign(layout.xaxis, rowRange(figure));
    layout.annotations = [...(own.annotations ?? []), ...rowNames(figure)];
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

// What stands in the bar is listed, not what does not: a later Plotly may have new buttons, as one that uploads the data.
const BUTTONS = [["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]];

function draw(plot) {
  const key = plot.id.replace("plot-", "");
  const figure = plot.figure ?? data.figures[key];
  const size = paper ? { width: PAPER, autosize: false } : {};
  plot.style.minHeight = `${heightOf(figure)}px`;
  plotly().react(plot, dataOf(figure), { ...layoutOf(figure, key, paper), ...size }, {
    responsive: !paper, displaylogo: false, displayModeBar: narrow.matches || paper ? false : "hover",
    modeBarButtons: BUTTONS, showSendToCloud: false, plotlyServerURL: "",
  });
  if (!drawn.has(plot)) noteZoom(plot, key);
  drawn.add(plot);
}

// Those out of sight, in another tab or folded away, wait until they come into view again.
function redraw() {
  for (const plot of [...drawn]) {
    if (!plot.isConnected) drawn.delete(plot);
    else if (paper || plot.getClientRects().length) draw(plot);
    else watcher.observe(plot);
  }
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

// A figure that leaves the page takes a legend along, below it.
function legendBelow(traces, width) {
  const names = new Set(traces.filter((trace) => trace.showlegend !== false && trace.name).map((trace) => trace.name));
  if (names.size < 2) return { height: 0, layout: {} };
  const entry = 55 + 8 * Math.max(...[...names].map((name) => name.length));
  const height = 24 * Math.ceil(names.size / Math.max(Math.floor((width - 80) / entry), 1)) + 12;
  const legend = { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom", entrywidth: entry - 45 };
  return { height, layout: { showlegend: true, legend } };
}

// White background and light colours whatever the page wears: a figure goes into a paper.
async function saveFigure(plot, key) {
  const figure = plot.figure ?? data.figures[key];
  const traces = dataOf(figure);
  const width = Math.max(Math.round(plot.getBoundingClientRect().width), 700);
  const below = figure.rows?.length ? { height: 0, layout: {} } : legendBelow(traces, width);
  const layout = { ...layoutOf(figure, key, true), ...below.layout };
  layout.margin = { ...layout.margin, b: layout.margin.b + below.height };
  const size = { width, height: Math.max(heightOf(figure), 320) + below.height };
  const svg = await plotly().toImage({ data: traces, layout: { ...layout, ...size } }, { format: "svg", imageDataOnly: true, ...size });
  save(fileName(fileOf(plot), key) + ".svg", "image/svg+xml", svg);
}

function prepareFigure(place, figure) {
  const plot = kept.get(place.id) ?? place;
  if (plot !== place) place.replaceWith(plot);
  const key = plot.id.replace("plot-", "");
  const bar = tools(plot);
  for (const name of figure.switches) bar.append(axisButton(plot, key, figure, name));
  bar.append(button("SVG", () => saveFigure(plot, key), { "aria-label": `Save figure ${key} as SVG` }));
  plot.style.minHeight = `${heightOf(figure)}px`; // its place is kept: drawn, it moves nothing
  watcher.observe(plot);
}
