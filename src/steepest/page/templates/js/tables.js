// Tables: sorted by a click on a heading, filtered by name and verdict, saved as CSV in full precision.
function bodyRows(table) {
  return [...table.tBodies[0].rows].filter((row) => row.dataset.row !== undefined);
}

function number(value) {
  return value === MISS ? Infinity : value;
}

// What is missing comes last in either direction.
function ordered(source, column, descending) {
  const at = source.columns.indexOf(column);
  const key = (row) => number(source.rows[row.dataset.row][at]);
  return (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y || 0;
    return descending ? -order : order;
  };
}

function sortTable(table, source) {
  const chosen = state.sort[table.id];
  for (const heading of table.tHead.querySelectorAll("th[data-by]")) {
    const mine = chosen?.column === heading.dataset.by;
    heading.setAttribute("aria-sort", !mine ? "none" : chosen.descending ? "descending" : "ascending");
  }
  if (!chosen) return;
  for (const row of bodyRows(table).sort(ordered(source, chosen.column, chosen.descending))) {
    const detail = row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;
    table.tBodies[0].append(row, ...(detail ? [detail] : []));
  }
}

function filterTable(table, source) {
  const { text = "", choice = "" } = state.filter[table.id] ?? {};
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const [named, chosen] = source.filter.map((column) => source.columns.indexOf(column));
  let kept = 0;
  for (const row of bodyRows(table)) {
    const values = source.rows[row.dataset.row];
    const keep = words.every((word) => values[named].toLowerCase().includes(word)) && (!choice || values[chosen] === choice);
    row.hidden = !keep;
    if (row.nextElementSibling?.classList.contains("detail")) row.nextElementSibling.hidden = !keep;
    kept += keep;
  }
  const told = tools(table).querySelector(".kept");
  told.textContent = words.length || choice ? `${kept} of ${source.rows.length}` : "";
}

// RFC 4180. The rows that are shown, in the order shown; the numbers as they were computed.
function csv(columns, rows) {
  const field = (value) => {
    const plain = value === null || value === undefined ? "" : String(value);
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${plain}` : plain; // no formula of a spreadsheet's
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(field).join(",") + "\r\n").join("");
}

function saveTable(table, source) {
  const rows = bodyRows(table).filter((row) => !row.hidden).map((row) => source.rows[row.dataset.row]);
  save(fileName(fileOf(table), table.dataset.name ?? table.id) + ".csv", "text/csv", csv(source.columns, rows));
}

function sortBy(table, source, column) {
  const chosen = state.sort[table.id];
  state.sort[table.id] = { column, descending: chosen?.column === column && !chosen.descending };
  sortTable(table, source);
}

// A phone shows rows as cards, without headings to click.
function sortingForPhones(table, source) {
  const headings = [...table.tHead.querySelectorAll("th[data-by]")];
  const select = make("select", { "aria-label": "Sort by", onchange: () => sortBy(table, source, select.value) },
    make("option", { value: "", disabled: true, selected: true }, "sort by"),
    ...headings.map((heading) => make("option", { value: heading.dataset.by }, heading.innerText.split("\n")[0])));
  const turn = button("⇅", () => select.value && sortBy(table, source, select.value), { "aria-label": "Turn the order round" });
  return make("span", { class: "phone" }, select, " ", turn);
}

function filters(table, source) {
  const chosen = (state.filter[table.id] ??= { text: "", choice: "" });
  const [named, choosing] = source.filter;
  const told = make("span", { class: "kept", role: "status" });
  const change = (name) => (event) => {
    chosen[name] = event.target.value;
    filterTable(table, source);
  };
  const text = make("input", { type: "search", placeholder: `filter ${named}s`, "aria-label": `Filter ${named}s`, id: `filter-${table.id}`, oninput: change("text") });
  const values = ["", ...new Set(source.rows.map((row) => row[source.columns.indexOf(choosing)]))];
  const label = choosing[0].toUpperCase() + choosing.slice(1);
  const choice = make("select", { "aria-label": label, id: `${choosing}-${table.id}`, onchange: change("choice") },
    ...values.map((value) => make("option", { value }, value || `all ${choosing}s`)));
  [text.value, choice.value] = [chosen.text, chosen.choice];
  return [told, text, choice];
}

function prepareTable(table, source) {
  const place = tools(table);
  for (const heading of table.tHead.querySelectorAll("th[data-by]")) {
    const inside = button("", () => sortBy(table, source, heading.dataset.by), { class: "sort", id: `sort-${table.id}-${heading.dataset.by}` });
    inside.append(...heading.childNodes);
    heading.append(inside);
  }
  if (source.filter) place.append(...filters(table, source));
  if (table.classList.contains("stack")) place.append(sortingForPhones(table, source));
  place.append(button("CSV", () => saveTable(table, source), { "aria-label": `Save table ${table.dataset.name ?? table.id} as CSV` }));
  sortTable(table, source);
  if (source.filter) filterTable(table, source);
}
