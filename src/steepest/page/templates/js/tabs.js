// One panel at a time; anchors lead to the tab that holds them.
function showTab(panel) {
  state.tab = panel;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const mine = tab.getAttribute("aria-controls") === panel;
    tab.setAttribute("aria-selected", mine);
    tab.tabIndex = mine ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !mine;
  }
}

function followAnchor() {
  const wanted = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const panel = wanted?.closest("[role=tabpanel]");
  const fold = wanted?.closest("details.fold");
  if (fold) fold.open = true;
  if (panel) showTab(panel.id);
  if (!panel && !fold) return;
  (wanted === panel ? document.querySelector(".tabs") : wanted).scrollIntoView();
}

function prepareTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  if (!tabs.length) return;
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", (event) => {
      event.preventDefault(); // the page stays where it is
      showTab(tab.getAttribute("aria-controls"));
      history.replaceState(null, "", tab.getAttribute("href"));
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step ? tabs[(i + step + tabs.length) % tabs.length] : { Home: tabs[0], End: tabs.at(-1), " ": tab }[event.key];
      if (!next) return;
      event.preventDefault();
      next.click();
      next.focus();
    });
  }
  showTab(state.tab ?? tabs[0].getAttribute("aria-controls"));
}
