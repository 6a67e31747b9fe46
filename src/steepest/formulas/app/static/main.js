// The frame of the four pages.
import { showModels } from "./models.js";
import { showReading } from "./read.js";
import { showSymbols } from "./symbols.js";
import { attempt } from "./tools.js";
import { showTraining } from "./train.js";

const PAGES = { "/": ["Read", showReading], "/symbols": ["Symbols", showSymbols], "/train": ["Train", showTraining], "/models": ["Models", showModels] };
const [name, show] = PAGES[location.pathname];

document.title = `${name} · formulas`;
for (const link of document.querySelectorAll("nav a")) {
  if (link.getAttribute("href") === location.pathname) link.setAttribute("aria-current", "page");
}
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // It lasts as long as the page.
  }
});
attempt(() => show(document.getElementById("main")));
