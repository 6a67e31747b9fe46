// What all parts share: the data, what the reader has chosen, and small tools.
const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("screen and (max-width: 44rem)");
const MISS = "inf";

let data;
// Kept when a live page renews itself: which tab, hidden methods, folds, sorting, filter, open rows, shown runs, axes and zoom.
const state = { tab: null, hidden: new Set(), folds: {}, sort: {}, filter: {}, open: {}, shown: {}, axes: {}, zoom: {} };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function button(text, onclick, attributes = {}) {
  return make("button", { type: "button", onclick, ...attributes }, text);
}

// The tools of a section stand beside its heading.
function tools(element) {
  const head = element.closest("section, .runs").querySelectorAll(".head");
  const before = [...head].filter((h) => h.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING).at(-1);
  return before.querySelector(".tools") ?? before.appendChild(make("div", { class: "tools" }));
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function fileName(...parts) {
  return parts.filter(Boolean).join("-").replace(/[^\p{L}\p{N}_.+-]+/gu, "-");
}

// What the names of files begin with that are saved from here; nothing where it is about the whole page.
function fileOf(element) {
  return element.closest("[data-file]")?.dataset.file;
}

// Called whenever the page stands anew, before its figures are drawn: what a page has beside figures and tables.
const prepared = [];
