// Give life to what stands on the page; a live page does it again with every new one.
function start() {
  data = JSON.parse(document.getElementById("data").textContent);
  prepareTabs();
  prepareLegend();
  prepareFolds();
  for (const [id, source] of Object.entries(data.tables)) prepareTable(document.getElementById(id), source);
  for (const prepare of prepared) prepare();
  for (const [key, figure] of Object.entries(data.figures)) prepareFigure(document.getElementById("plot-" + key), figure);
}

document.getElementById("theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  redraw();
});
dark.addEventListener("change", redraw);
narrow.addEventListener("change", redraw);
window.addEventListener("hashchange", followAnchor);
start();
followAnchor();
window.addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(plotly));
