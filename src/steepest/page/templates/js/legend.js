// One legend for all figures: a click hides a method in each of them, in every tab, and shows it again.
function prepareLegend() {
  const legend = document.getElementById("legend");
  if (!legend) return;
  const keys = [...legend.querySelectorAll(".key")];
  const settle = () => {
    for (const key of keys) key.setAttribute("aria-pressed", !state.hidden.has(key.dataset.method));
  };
  const hide = (names) => {
    state.hidden = new Set(names);
    settle();
    redraw();
  };
  for (const key of keys) {
    const name = key.dataset.method;
    key.addEventListener("click", () => hide(state.hidden.has(name) ? [...state.hidden].filter((other) => other !== name) : [...state.hidden, name]));
  }
  document.getElementById("keys-all").addEventListener("click", () => hide([]));
  document.getElementById("keys-none").addEventListener("click", () => hide(keys.map((key) => key.dataset.method)));
  settle();
  // Tabs stick below it.
  new ResizeObserver(() => root.style.setProperty("--legend", `${legend.offsetHeight}px`)).observe(legend);
}
