// The page Read: draw or bring a picture, correct, take the text.
import { keep } from "./alternatives.js";
import { Pad } from "./pad.js";
import { SheetView } from "./sheet.js";
import { ask, attempt, button, choice, chooseFile, draw, make, named, post, remember, remembered, tell } from "./tools.js";

const PAUSE = 500; // milliseconds without a stroke until what was drawn is read

export async function showReading(main) {
  const [signs, { sets }] = await Promise.all([ask("/api/signs"), ask("/api/sets")]);
  const view = new SheetView(signs, sets);
  const pad = new Pad(() => drawn(), { label: "Paper: draw formulas here with pen, mouse or finger" });
  const photo = make("div", { class: "photo", hidden: true });
  const state = make("span", { class: "kept", role: "status" });
  const file = chooseFile("image/png,image/jpeg", ([picture]) => bring(picture));
  const undo = button("Undo stroke", () => pad.undo());
  const mode = button("Choose boxes", () => setMode(!pad.svg.classList.contains("choosing")), { class: "switch", "aria-pressed": "false" });
  const tools = [state, undo, mode, button("New", () => anew()), button("Picture …", () => file.click()), file];
  const setRow = make("p", { class: "row" });
  main.append(make("div", { class: "head first" }, make("h1", {}, "Write a formula"), make("div", { class: "tools" }, ...tools)),
    make("div", { class: "paper-area" }, pad.svg, photo), make("p", { class: "caption" }, "Or drop or paste a picture of a page, PNG or JPEG. Everything stays on this machine."),
    view.element, setRow);
  view.onshow = () => showSets();
  view.set = () => sets.find((set) => set.id === Number(remembered("set", ""))) ?? sets[0];

  function setMode(choosing) {
    pad.svg.classList.toggle("choosing", choosing);
    mode.setAttribute("aria-pressed", String(choosing));
  }

  let timer;
  pad.onbegin = () => clearTimeout(timer);
  let busy = false;
  let again = false;
  function drawn() {
    clearTimeout(timer);
    undo.disabled = !pad.strokes.length;
    timer = setTimeout(() => attempt(read), PAUSE);
  }

  async function read() {
    if (busy) {
      again = true;
      return;
    }
    if (!pad.strokes.length) {
      view.hide();
      showSets();
      return;
    }
    busy = true;
    state.textContent = "reading …";
    try {
      const { strokes } = pad;
      const send = (more) => post("/api/sheets/drawn", { strokes, ...more });
      const known = view.sheet?.drawn ? { sheet: view.sheet.sheet } : {};
      present(await send(known).catch((error) => {
        if (error.status !== 404) throw error;
        return send({}); // the sheet was too old to be kept
      }));
    } finally {
      busy = false;
      state.textContent = "";
    }
    if (again) {
      again = false;
      await read();
    }
  }

  function present(sheet) {
    history.replaceState(null, "", `#sheet-${sheet.sheet}`);
    for (const element of [pad.svg, undo, mode]) element.toggleAttribute("hidden", !sheet.drawn);
    photo.hidden = sheet.drawn;
    let boxes = pad.boxes;
    if (!sheet.drawn) {
      boxes = draw("g", { class: "boxes" });
      photo.replaceChildren(draw("svg", { viewBox: `0 0 ${sheet.width} ${sheet.height}`, class: "choosing", role: "img", "aria-label": "The picture with boxes around its symbols" },
        draw("image", { href: `/api/sheets/${sheet.sheet}/picture`, width: sheet.width, height: sheet.height }), boxes));
    }
    view.show(sheet, boxes);
  }

  async function bring(picture) {
    state.textContent = "reading …";
    try {
      present(await ask("/api/sheets/picture", { method: "POST", body: picture, most: 20 }));
    } finally {
      state.textContent = "";
    }
  }

  function anew() {
    clearTimeout(timer);
    view.hide();
    for (const element of [pad.svg, undo, mode]) element.removeAttribute("hidden");
    photo.hidden = true;
    setMode(false);
    pad.show([]);
    pad.boxes.replaceChildren();
    history.replaceState(null, "", location.pathname);
    showSets();
  }

  function showSets() {
    setRow.hidden = !view.sheet;
    if (!view.sheet) return;
    const chosen = choice([...sets.map((set) => [set.id, set.name]), ["new", "a new set …"]], view.set()?.id ?? "new", async (id) => {
      if (id === "new") await newSet();
      else remember("set", id);
      showSets();
      view.showPanel();
    }, { "aria-label": "Set of symbols" });
    const add = (which) => async () => {
      if (!view.set()) await newSet();
      if (view.set()) await keep(view, which);
      showSets();
      view.showPanel();
    };
    const corrected = view.sheet.lines.flatMap((line) => line.symbols).filter((symbol) => symbol.corrected).length;
    setRow.replaceChildren("Add to set ", chosen, button(`what I corrected (${corrected})`, add("corrected"), { disabled: !corrected, class: corrected ? "main" : null }),
      button("all symbols as they stand", add("all")));
  }

  async function newSet() {
    const name = await named("Name of the new set", sets.length ? "" : "My symbols");
    if (!name) return;
    const { id } = await post("/api/sets", { name });
    sets.push({ id, name });
    remember("set", id);
  }

  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [picture] = event.dataTransfer.files;
    attempt(() => (picture ? bring(picture) : tell("What was dropped is no file.", true)));
  });
  document.addEventListener("paste", (event) => {
    const [picture] = event.clipboardData.files;
    if (picture) attempt(() => bring(picture));
  });
  undo.disabled = true;
  const kept = location.hash.match(/^#sheet-(\d+)$/);
  if (kept) {
    try {
      const sheet = await ask(`/api/sheets/${kept[1]}`);
      if (sheet.drawn) pad.show(sheet.strokes);
      undo.disabled = !sheet.drawn;
      present(sheet);
    } catch {
      history.replaceState(null, "", location.pathname);
    }
  }
}
