// From a row of the results to the runs behind it, and from a run to its curve.
function runsOf(comparison, method) {
  const { columns, rows } = comparison.runs;
  return rows.flatMap((values, index) => {
    if (values[0] !== method) return [];
    return [{ index, curve: comparison.curves[index], ...Object.fromEntries(columns.map((name, i) => [name, values[i]])) }];
  });
}

function shownMetric(comparison, value) {
  if (value === null) return "-";
  return comparison.percent ? `${(100 * value).toFixed(2)}\u00a0%` : Number(value.toPrecision(4)).toString();
}

// A trial is told by its lr, or by the first hyperparameter of a method that searches none.
function leadingOf(comparison, run) {
  const name = ["lr", ...comparison.hyperparameters].find((key) => run[key] !== null && run[key] !== undefined) ?? "lr";
  return `${name} ${brief(run[name] ?? null)}`;
}

const brief = (value) =>
  typeof value === "number" ? Number(value.toPrecision(3)).toString() : value === true ? "True" : value === false ? "False" : value ?? "-";
const asEvaluations = (value) => (value === null ? "-" : value === MISS ? "∞" : value.toLocaleString("en-US"));
const asTarget = (comparison, value) => (comparison.percent ? `${Number((100 * value).toPrecision(6))}\u00a0%` : String(value));

function sparkline(comparison, run) {
  if (!run.curve || !comparison.window) return "";
  const [low, high] = comparison.window;
  const [width, height] = [72, 20];
  const at = comparison.grids[run.curve[0]];
  const points = run.curve[1].flatMap((value, i) => {
    if (value === null) return [];
    const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    return [`${((at[i] / at.at(-1)) * (width - 2) + 1).toFixed(1)},${(height - 2 - share * (height - 4)).toFixed(1)}`];
  });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.join(" "));
  for (const [name, value] of Object.entries({ width, height, class: "spark", "aria-hidden": "true" })) svg.setAttribute(name, value);
  svg.append(line);
  return svg;
}

const TITLES = { screen: "Short runs", tune: "Search", final: "Final runs" };
const FILES = { screen: "short", tune: "search", final: "final" };

// Heading, column of the table's data, what stands in the cell.
function runColumns(comparison, phase) {
  const plain = (name, by, show) => ({ name, by, show, numeric: true });
  const searches = phase !== "final";
  const measured = searches ? "validation" : "test";
  const metric = `${measured}_metric`;
  return [
    searches ? plain("trial", "trial", (run) => run.trial + 1) : plain("seed", "seed", (run) => run.seed),
    ...(searches ? comparison.hyperparameters.map((name) => plain(name, name, (run) => brief(run[name]))) : []),
    { name: "status", by: "status", show: (run) => run.status, note: (run) => run.error },
    plain(`${measured} ${comparison.metric}`, metric, (run) => shownMetric(comparison, run[metric])),
    ...comparison.targets.map(([value, by]) => plain(`to ${asTarget(comparison, value)}`, by, (run) => asEvaluations(run[by]))),
    { ...plain("seconds", "seconds", (run) => brief(run.seconds)), wide: true },
    { name: "curve", by: null, wide: true, show: (run) => sparkline(comparison, run) },
  ];
}

const looks = ({ numeric, wide }) => [numeric && "n", wide && "wide"].filter(Boolean).join(" ") || null; // wide: not on a phone

function runTable(comparison, method, phase, runs, id, changed) {
  const shown = state.shown[id];
  const columns = runColumns(comparison, phase);
  const title = TITLES[phase];
  const table = make("table", { id: `${id}-${phase}`, "data-name": `${method}-${FILES[phase]}` });
  const all = make("input", { type: "checkbox", "aria-label": `Show all curves, ${title}` });
  const boxes = [];
  const settle = () => {
    const usable = boxes.filter((box) => !box.disabled);
    const on = usable.filter((box) => box.checked).length;
    [all.checked, all.indeterminate, all.disabled] = [on > 0 && on === usable.length, on > 0 && on < usable.length, !usable.length];
  };
  const tick = (box) => (box.checked ? shown.add(box.value) : shown.delete(box.value));
  all.addEventListener("change", () => {
    for (const box of boxes.filter((box) => !box.disabled)) {
      box.checked = all.checked;
      tick(box);
    }
    changed();
  });
  const headings = columns.map((column) => make("th", { class: looks(column), "data-by": column.by }, column.name));
  table.append(make("thead", {}, make("tr", {}, make("th", {}, all), ...headings)));
  const body = make("tbody");
  for (const run of runs) {
    const value = `${phase}-${run.trial}`;
    const label = phase === "final" ? `seed ${run.seed}` : `trial ${run.trial + 1}`;
    const box = make("input", { type: "checkbox", value, id: `${id}-${value}`, disabled: !run.curve, "aria-label": `Show the curve of ${label}` });
    box.checked = shown.has(value);
    box.addEventListener("change", () => {
      tick(box);
      settle();
      changed();
    });
    boxes.push(box);
    const chosen = phase === "tune" && comparison.chosen[method].includes(run.trial);
    const cells = columns.map((column) => {
      const note = column.note?.(run);
      return make("td", { class: looks(column) }, column.show(run), ...(note ? [make("small", { class: "warn" }, note)] : []));
    });
    const row = make("tr", { "data-row": run.index, class: chosen && "chosen", title: chosen && "the chosen point" }, make("td", {}, box), ...cells);
    row.addEventListener("click", (event) => event.target.closest("input, button, a") || box.click());
    body.append(row);
  }
  table.append(body);
  settle();
  const block = make("div", { class: "runs" }, make("div", { class: "head" }, make("h3", {}, title)), make("div", { class: "scroll" }, table));
  prepareTable(table, comparison.runs);
  return block;
}

// Validation metric, training loss and what else was measured of the runs that are ticked, side by side; the search's are
// dotted.
function runFigure(comparison, method, runs, shown) {
  const own = comparison.colours[method];
  const format = comparison.percent ? ".2%" : ".4~g";
  const ticked = runs.filter((run) => run.curve && shown.has(`${run.phase}-${run.trial}`));
  const escape = (text) => make("span", {}, text).innerHTML; // Plotly reads markup in every text
  const panels = [`validation ${escape(comparison.metric)}`, "training loss", ...comparison.series.map(escape)]
    .map((title, place) => ({ title, place }))
    .filter(({ place }) => place < 2 || ticked.some((run) => run.curve[place + 1]));
  const traces = ticked.flatMap((run) => {
    const name = run.phase === "final" ? `seed ${run.seed}` : `trial ${run.trial + 1}, ${leadingOf(comparison, run)}`;
    const line = { color: own, width: 1.5, dash: run.phase === "final" ? "solid" : "dot" };
    const x = comparison.grids[run.curve[0]];
    const shared = { x, name, line, mode: x.length > 2 ? "lines" : "lines+markers", opacity: 0.75, showlegend: false, hoverlabel: { namelength: -1 } };
    return panels.map(({ place }, i) => ({
      ...shared, y: run.curve[place + 1] ?? [], xaxis: "x" + axisNumber(i), yaxis: "y" + axisNumber(i),
      hovertemplate: `${name}: %{y:${place ? ".4~g" : format}}<extra></extra>`,
    }));
  });
  const axes = {};
  panels.forEach(({ title, place }, i) => {
    const [across, up] = panelDomain(i, panels.length);
    const mine = traces.filter((trace) => trace.yaxis === "y" + axisNumber(i));
    const log = place > 0 && mine.every((trace) => trace.y.every((value) => value === null || value >= 0));
    axes["xaxis" + axisNumber(i)] = { title: { text: comparison.unit }, domain: across, anchor: "y" + axisNumber(i) };
    axes["yaxis" + axisNumber(i)] = {
      title: { text: title + (log ? " (log)" : "") }, domain: up, anchor: "x" + axisNumber(i),
      ...(place ? { ...(log && { type: "log" }), exponentformat: "power", nticks: 8 } : { tickformat: comparison.percent ? ".1~%" : "~g" }),
    };
  });
  const rows = isNarrow() ? panels.length : Math.ceil(panels.length / 2);
  return {
    data: traces,
    switches: ["x", "loss"],
    axes: { x: panels.map((_, i) => "xaxis" + axisNumber(i)), loss: ["yaxis2"] },
    layout: { height: (isNarrow() ? 260 : 320) * rows, ...axes },
  };
}

const axisNumber = (i) => (i ? String(i + 1) : "");

// Where the i-th of so many panels lies: two in a row, or one on a phone.
function panelDomain(i, count) {
  const columns = isNarrow() ? 1 : 2;
  const rows = Math.ceil(count / columns);
  const gap = 0.17;
  const height = (1 - gap * (rows - 1)) / rows;
  const top = 1 - Math.floor(i / columns) * (height + gap);
  return [columns === 1 ? [0, 1] : i % 2 ? [0.54, 1] : [0, 0.46], [Math.max(top - height, 0), top]];
}

function detail(comparison, row, method, key) {
  const id = `runs-${key}`;
  const runs = runsOf(comparison, method);
  const finals = runs.filter((run) => run.phase === "final");
  state.shown[id] ??= new Set((finals.length ? finals : runs).map((run) => `${run.phase}-${run.trial}`));
  const plot = kept.get(`plot-${id}`) ?? make("div", { class: "plot", id: `plot-${id}` });
  const changed = () => {
    plot.figure = runFigure(comparison, method, runs, state.shown[id]);
    if (drawn.has(plot)) draw(plot);
  };
  const tables = ["final", "tune", "screen"].flatMap((phase) => {
    const mine = runs.filter((run) => run.phase === phase);
    return mine.length ? [runTable(comparison, method, phase, mine, id, changed)] : [];
  });
  const head = make("div", { class: "head" }, make("h3", {}, `Runs of ${method}`));
  const caption = make("p", { class: "caption" }, "The curves of the runs that are ticked below; those of the search are dotted.");
  const figure = runs.length ? [plot, caption] : [make("p", { class: "caption" }, "No run has ended yet.")];
  const inside = [make("div", { class: "runs" }, head, ...figure), make("div", { class: "pair" }, ...tables)];
  row.after(make("tr", { class: "detail", id }, make("td", { colspan: row.cells.length }, ...inside)));
  if (!runs.length) return;
  changed();
  prepareFigure(plot, plot.figure);
}

function prepareRows(table, comparison, source) {
  for (const row of bodyRows(table)) {
    const method = source.rows[row.dataset.row][0];
    const key = `${data.comparisons.indexOf(comparison)}-${comparison.methods.indexOf(method)}`;
    const name = row.querySelector(".name");
    const opener = button("", () => turn(), { class: "open", id: `open-${key}`, "aria-expanded": "false", "aria-controls": `runs-${key}` });
    opener.append(...name.childNodes);
    name.append(opener);
    const turn = () => {
      const open = opener.getAttribute("aria-expanded") !== "true";
      opener.setAttribute("aria-expanded", open);
      open ? (state.open[key] = true) : delete state.open[key];
      open ? detail(comparison, row, method, key) : document.getElementById(`runs-${key}`).remove();
    };
    row.classList.add("opens");
    row.addEventListener("click", (event) => event.target.closest("button, a, input") || getSelection().toString() || turn());
    if (state.open[key]) turn();
  }
}

prepared.push(() => {
  for (const comparison of data.comparisons) {
    const id = "final" + comparison.suffix;
    prepareRows(document.getElementById(id), comparison, data.tables[id]);
  }
});
