// What all pages share: elements, requests, what is told to the user.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && ["value", "checked", "disabled", "hidden", "htmlFor"].includes(name)) element[name] = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick: () => attempt(onclick), ...attributes }, text);
export const field = (label, control, note) => make("label", { class: "field" }, make("span", {}, label), control, note ? make("small", {}, note) : null);
export const section = (title, tools, ...children) => make("section", {}, make("div", { class: "head" }, make("h2", {}, title), make("div", { class: "tools" }, ...tools)), ...children);

export function choice(options, value, onchange, attributes = {}) {
  const select = make("select", { onchange: () => attempt(() => onchange?.(select.value)), ...attributes });
  for (const [key, text] of options) select.append(make("option", { value: key }, text));
  if (value !== undefined && value !== null) select.value = value;
  return select;
}

// A request to the server; a refusal is an Error whose message is the server's sentence.
export async function ask(path, { method = "GET", json, body, signal, most = 64 } = {}) {
  if (body?.size > most * 2 ** 20) throw new Error(`the file must have at most ${most} MiB, and has ${Math.ceil(body.size / 2 ** 20)}`);
  const headers = json === undefined ? {} : { "content-type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is it still running?");
  }
  const found = answer.headers.get("content-type")?.startsWith("application/json") ? await answer.json() : null;
  if (!answer.ok) throw Object.assign(new Error(found?.error ?? `the server refused the request (${answer.status})`), { status: answer.status, ask: found?.ask });
  return found;
}

export const post = (path, json = {}) => ask(path, { method: "POST", json });

let quiet;
export function tell(text, bad = false, undo = null) {
  const told = document.getElementById("told");
  clearTimeout(quiet);
  told.replaceChildren(make("span", {}, text));
  if (undo) told.append(button("Undo", () => { hush(); return undo(); }));
  told.append(button("×", hush, { class: "close", "aria-label": "Dismiss" }));
  told.classList.toggle("bad", bad);
  told.hidden = false;
  if (!bad) quiet = setTimeout(hush, undo ? 10000 : 4000);
}

export function hush() {
  document.getElementById("told").hidden = true;
}

// What goes wrong is told, never swallowed.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    const text = error.message;
    tell(text.charAt(0).toUpperCase() + text.slice(1) + ".", true);
    if (error.status === undefined) console.error(error);
    return undefined;
  }
}

// A question in the page; true if the user agrees.
export function confirmed(text, yes, no = "Cancel") {
  return new Promise((resolve) => {
    const dialog = make("dialog", { onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } }, make("p", {}, text),
      make("form", { method: "dialog", class: "row" }, make("button", { value: "yes", class: "main" }, yes), make("button", { value: "no", autofocus: true }, no)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// A question for a name; null if the user gives none.
export function named(text, value = "") {
  return new Promise((resolve) => {
    const input = make("input", { value, required: true, maxlength: 80, autofocus: true });
    const dialog = make("dialog", { onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes" ? input.value.trim() || null : null); } },
      make("form", { method: "dialog" }, field(text, input),
        make("p", { class: "row" }, make("button", { value: "yes", class: "main" }, "OK"), make("button", { value: "no", formnovalidate: true }, "Cancel"))));
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

// 28x28 bits, as hexadecimal digits, 7 a row; as the page's text is coloured.
export function picture(hex, title = "") {
  const rows = hex.match(/.{7}/g) ?? [];
  let path = "";
  rows.forEach((row, y) => {
    const bits = parseInt(row, 16).toString(2).padStart(28, "0");
    for (const run of bits.matchAll(/1+/g)) path += `M${run.index} ${y}h${run[0].length}v1h-${run[0].length}z`;
  });
  return draw("svg", { class: "bitmap", viewBox: "-1 -1 30 30", role: "img", "aria-label": title || "a symbol" }, draw("path", { d: path }));
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`);
export const signOf = (label) => label || "no symbol";
export const when = (seconds) => (seconds ? new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "");

export function remembered(key, fallback) {
  try {
    return localStorage.getItem(key) ?? fallback;
  } catch {
    return fallback;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It lasts as long as the page.
  }
}

export function chooseFile(accept, onfile, attributes = {}) {
  const input = make("input", { type: "file", accept, hidden: true, ...attributes, onchange: () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) attempt(() => onfile(files));
  } });
  return input;
}
