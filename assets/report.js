// Draws each figure when it comes into view; theme, logarithmic axes, enlarging, keys. No network.
(function () {
  "use strict";
  const root = document.documentElement;
  const FORBIDDEN = ["sendChartToCloud", "sendDataToCloud"]; // nothing may be uploaded from a control room
  const config = (large) => ({
    displayModeBar: large, displaylogo: false, responsive: true, modeBarButtonsToRemove: FORBIDDEN,
  });
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  // the colours in force, as the browser works them out
  function colours() {
    const probe = document.body.appendChild(document.createElement("span"));
    const of = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const found = { text: of("--text"), line: of("--line"), panel: of("--panel") };
    probe.remove();
    return found;
  }

  function themed(layout) {
    const { text, line, panel } = colours();
    const changed = { paper_bgcolor: "rgba(0,0,0,0)", "font.color": text, "hoverlabel.bgcolor": panel, "hoverlabel.font.color": text };
    if (!layout.plot_bgcolor || layout.plot_bgcolor === "rgba(0,0,0,0)") changed.plot_bgcolor = "rgba(0,0,0,0)";
    for (const name of axisNames(layout)) {
      changed[name + ".gridcolor"] = line;
      changed[name + ".linecolor"] = line;
      changed[name + ".zerolinecolor"] = line;
    }
    return changed;
  }

  function axisNames(layout) {
    const names = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
    return names.length ? names : ["xaxis", "yaxis"];
  }

  const originals = new WeakMap();

  // zoom, logarithmic axes and the quantity that was chosen
  function keepView(from, to) {
    for (const name of Object.keys(from).filter((key) => /^([xy]axis|coloraxis)\d*$/.test(key))) {
      to[name] = to[name] || {};
      for (const key of ["type", "range", "autorange", "showscale"]) {
        if (from[name][key] !== undefined) to[name][key] = from[name][key];
      }
    }
    (to.updatemenus || []).forEach((menu, place) => { menu.active = from.updatemenus[place].active; });
  }

  function draw(div) {
    if (div.dataset.drawn) return;
    div.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(div.id + "-data").textContent);
    const layout = figure.layout || {};
    delete layout.template;
    delete layout.width;
    layout.height = Number(div.dataset.height);
    if (layout.title) layout.margin = Object.assign({}, layout.margin, { t: 56 });
    originals.set(div, structuredClone(layout));
    Plotly.newPlot(div, figure.data, layout, config(false)).then(() => Plotly.relayout(div, themed(layout)));
  }

  function setTheme(name) {
    root.dataset.theme = name;
    document.getElementById("theme").textContent = name === "dark" ? "Light" : "Dark";
    document.querySelectorAll(".figure[data-drawn]").forEach((div) => Plotly.relayout(div, themed(div.layout)));
  }

  document.getElementById("theme").addEventListener("click", () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    remember("larboard-theme", next);
    setTheme(next);
  });

  function toggleLog(button) {
    const div = button.closest(".tile").querySelector(".figure");
    const log = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(log));
    Plotly.relayout(div, { "yaxis.type": log ? "log" : "linear", "yaxis.autorange": true });
  }

  let back = 0;
  function enlarge(tile, large) {
    const div = tile.querySelector(".figure");
    if (!div || !div.dataset.drawn) return;
    document.querySelectorAll(".tile.large").forEach((other) => { if (other !== tile) enlarge(other, false); });
    if (large) back = window.scrollY;
    tile.classList.toggle("large", large);
    tile.querySelector(".enlarge").textContent = large ? "back" : "enlarge";
    const height = large ? Math.max(window.innerHeight - 96, Number(div.dataset.height)) : Number(div.dataset.height);
    div.style.height = height + "px";
    // from the layout as it came: Plotly has since narrowed the panels of this one to their shape
    const layout = Object.assign(structuredClone(originals.get(div)), { height });
    keepView(div.layout, layout);
    Plotly.newPlot(div, div.data, layout, config(large)).then(() => Plotly.relayout(div, themed(layout)));
    if (!large) window.scrollTo(0, back);
    tile.focus({ preventScroll: true });
  }

  document.addEventListener("click", (event) => {
    if (event.target.matches(".log")) toggleLog(event.target);
    if (event.target.matches(".enlarge")) {
      const tile = event.target.closest(".tile");
      enlarge(tile, !tile.classList.contains("large"));
    }
  });

  const tiles = [...document.querySelectorAll(".tile")];
  function step(by) {
    const here = tiles.indexOf(document.activeElement.closest && document.activeElement.closest(".tile"));
    const next = tiles[Math.min(Math.max(here + by, 0), tiles.length - 1)];
    if (!next) return;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const tile = document.activeElement.closest && document.activeElement.closest(".tile");
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "e" && tile) enlarge(tile, !tile.classList.contains("large"));
    else if (event.key === "Escape") document.querySelectorAll(".tile.large").forEach((one) => enlarge(one, false));
  });

  const dark = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(recall("larboard-theme") || (dark ? "dark" : "light"));
  const seen = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => { seen.unobserve(entry.target); draw(entry.target); });
  }, { rootMargin: "300px" });
  document.querySelectorAll(".figure").forEach((div) => seen.observe(div));
})();
