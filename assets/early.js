// Before anything is painted: theme, zone and navigation as they were left, so that nothing flashes.
(function () {
  "use strict";
  const root = document.documentElement;
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const dark = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = recall("larboard-theme");
  root.dataset.theme = theme === "dark" || theme === "light" ? theme : dark ? "dark" : "light";
  root.dataset.mantineColorScheme = root.dataset.theme;
  root.dataset.zone = recall("larboard-zone") || "UTC";
  root.dataset.nav = recall("larboard-nav") || (window.innerWidth < 900 ? "folded" : "open");
})();
// the largest script is wanted at once where figures are, and elsewhere only when nothing else is to be done
if (/\/(runs\/.+)?$/.test(location.pathname)) document.getElementById("plotly").rel = "preload";
