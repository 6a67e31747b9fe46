const plots = JSON.parse(document.getElementById("plots").textContent);
const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 44rem)");

function colour(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function layout(own) {
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
  const size = narrow.matches ? 12 : 13;
  return {
    height: 420,
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--text") } },
    ...own,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--text"), size, family: getComputedStyle(document.body).fontFamily },
    margin: { l: narrow.matches ? 10 : 60, r: 15, t: 15, b: 50 },
    legend: { orientation: "h", y: -0.2, yanchor: "top", x: 0 },
    dragmode: narrow.matches ? false : "zoom",
    xaxis: { ...axis, ...own.xaxis },
    yaxis: { ...axis, ...own.yaxis },
  };
}

function draw() {
  for (const [key, plot] of Object.entries(plots)) {
    Plotly.react("plot-" + key, plot.data, layout(plot.layout), {
      responsive: true, displaylogo: false, displayModeBar: narrow.matches ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d"],
      toImageButtonOptions: { format: "svg", filename: key },
    });
  }
}

document.getElementById("theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  draw();
});
dark.addEventListener("change", draw);
narrow.addEventListener("change", draw);
draw();
