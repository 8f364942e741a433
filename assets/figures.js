// Figures of runs: fetched when their tile is in view and something newer is there, drawn by Plotly, kept as they are zoomed.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const root = document.documentElement;
  const AT_ONCE = 4; // fetches
  const TOOLBAR = 36; // px: what it covers above a figure
  const REDRAW_MS = 500; // between two redraws of one figure
  const RETRY_MS = 5000;
  const TIMEOUT_MS = 30000;
  const [HEIGHT, WIDE] = [260, 400]; // of a tile's figure; a figure higher than this gets a row of its own [px]
  const REMOVED = ["sendChartToCloud", "sendDataToCloud"]; // nothing may be uploaded from a control room
  const WORDS = { nodata: "NO DATA", broken: "BROKEN", unknown: "NOT YET" };
  const figures = new Map(); // element -> what is known of its figure

  // ---- Plotly: loaded once, and every figure of the site in the colours of the theme

  let loading = null;
  function plotly() {
    if (library) return Promise.resolve(library);
    loading = loading || new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = document.getElementById("plotly").href;
      script.onload = () => done(library);
      script.onerror = () => { loading = null; script.remove(); fail(new Error("plotly.js did not come")); };
      document.head.append(script);
    });
    return loading;
  }

  let templates = null;
  function template(name) {
    templates = templates || { light: makeTemplate("light"), dark: makeTemplate("dark") };
    larboard.templates = templates;
    return templates[name || root.dataset.theme] || templates.light;
  }

  // from the colours of the style sheet, so that they stand in one place
  function makeTemplate(scheme) {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.colorScheme = scheme;
    const of = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const [text, weak, line, panel] = [of("--text"), of("--weak"), of("--line"), of("--panel")];
    probe.remove();
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, ticks: "outside", ticklen: 5, tickcolor: "rgba(0,0,0,0)", automargin: true, title: { font: { size: 12 } } };
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: text, family: "system-ui, sans-serif", size: 12 },
      xaxis: axis, yaxis: axis, hoverlabel: { bgcolor: panel, bordercolor: line, font: { color: text } },
      legend: { bgcolor: "rgba(0,0,0,0)" }, modebar: { bgcolor: "rgba(0,0,0,0)", color: weak, activecolor: text },
      colorway: ["#E69F00", "#56B4E9", "#009E73", "#8F8B00", "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A"],
    } };
  }

  const themed = (layout) => ({ ...(layout || {}), template: template() });

  // dcc.Graph draws through the same two functions, so that a figure of any page follows the theme
  function inTheme(draw) {
    return (place, data, layout, config) => Array.isArray(data) || !data
      ? draw(place, data, themed(layout), config)
      : draw(place, { ...data, layout: themed(data.layout) }, layout, config);
  }

  let library = null;
  Object.defineProperty(window, "Plotly", {
    configurable: true,
    get: () => library || undefined,
    set: (made) => {
      library = made;
      if (!made.inTheme) Object.assign(made, { react: inTheme(made.react), newPlot: inTheme(made.newPlot), inTheme: true });
    },
  });

  larboard.themeFigures = () => {
    if (!library) return;
    document.querySelectorAll(".js-plotly-plot").forEach((place) => {
      if (place._fullLayout) library.relayout(place, { template: template() });
    });
  };

  // ---- which figures there are: they follow the elements that Dash makes, moves and removes

  function adopt(element) {
    const figure = {
      element, path: element.dataset.figure, key: element.dataset.key, canvas: null, etag: "", shown: -1, wanted: 0,
      near: false, busy: false, due: true, last: 0, failedSince: 0, retryAt: 0, layout: null,
    };
    figure.wanted = Number(element.dataset.version) || 0;
    figures.set(element, figure);
    look(element);
    element.style.height = `${placeHeight(element, recalledHeight(figure))}px`;
  }

  // anew, so that the observers tell what they see even when they have known the element before
  function look(element) {
    for (const observer of [near, widths]) { observer.unobserve(element); observer.observe(element); }
  }

  function forget(element) {
    const figure = figures.get(element);
    figures.delete(element);
    near.unobserve(element);
    widths.unobserve(element);
    if (figure.canvas && library) library.purge(figure.canvas);
  }

  // Dash may put another plot into an element that is there (tiles change their order): the drawn canvas goes with its plot
  function follow(elements) {
    const pool = new Map();
    for (const element of elements) {
      const figure = figures.get(element);
      pool.set(figure.path, figure);
      if (figure.canvas) figure.canvas.remove();
    }
    for (const element of elements) {
      const known = pool.get(element.dataset.figure) || ofSamePlot(pool, element);
      if (known) pool.delete(known.path);
      figures.delete(element);
      if (known && known.path !== element.dataset.figure) lookElsewhere(known, element.dataset.figure);
      if (known) take(element, known);
      else { element.replaceChildren(); delete element.dataset.drawn; adopt(element); }
    }
    pool.forEach((figure) => { if (figure.canvas && library) library.purge(figure.canvas); });
  }

  // the same plot without some channels: what is drawn stays until the other figure is here
  const ofSamePlot = (pool, element) => [...pool.values()].find((figure) => figure.key === element.dataset.key);

  function lookElsewhere(figure, path) {
    Object.assign(figure, { path, etag: "", shown: -1, due: true, last: 0, retryAt: 0 });
  }

  function take(element, figure) {
    const from = figure.element;
    figure.element = element;
    figures.set(element, figure);
    look(element);
    if (from !== element || !figure.canvas) element.replaceChildren();
    if (figure.canvas) {
      element.replaceChildren(figure.canvas);
      if (figure.shown >= 0) element.dataset.drawn = figure.shown;
      else delete element.dataset.drawn;
      setHeight(figure, figure.layout ? figure.layout.height : 0);
    } else { figure.due = true; delete element.dataset.drawn; }
    wish(figure, Number(element.dataset.version) || 0);
  }

  new MutationObserver((changes) => {
    const moved = new Set();
    for (const change of changes) {
      if (change.type === "attributes") {
        const figure = figures.get(change.target);
        if (!figure) continue;
        if (figure.path !== change.target.dataset.figure) moved.add(change.target);
        else if (change.attributeName === "data-again") figure.due = true;
        else wish(figure, Number(change.target.dataset.version) || 0);
        continue;
      }
      change.addedNodes.forEach((node) => within(node, (element) => { if (!figures.has(element)) adopt(element); }));
    }
    if (moved.size) follow([...moved]);
    [...figures.keys()].filter((element) => !element.isConnected).forEach(forget);
    pump();
  }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-figure", "data-version", "data-again"] });

  function within(node, act) {
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (node.matches("[data-figure]")) act(node);
    node.querySelectorAll("[data-figure]").forEach(act);
  }

  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const figure = figures.get(target);
      if (figure) figure.near = isIntersecting;
    }
    pump();
  }, { rootMargin: "200px 0px" });

  // ---- what is due: newer than what is drawn, in view, not too often, the upper ones first

  function wish(figure, version) {
    if (version > figure.wanted) figure.wanted = version;
    if (figure.wanted > figure.shown) figure.due = true;
    pump();
  }

  larboard.elementChanged = (key, version) => {
    for (const figure of figures.values()) if (figure.key === key) wish(figure, version);
  };

  larboard.refreshFigures = () => {
    for (const figure of figures.values()) { figure.due = true; figure.retryAt = 0; }
    pump();
  };

  larboard.zoneFigures = () => {
    for (const figure of figures.values()) { figure.etag = ""; forgetView(figure); }
    larboard.refreshFigures();
  };

  let later = null;
  function pump() {
    clearTimeout(later);
    if (document.hidden) return;
    const now = Date.now();
    const wanted = [...figures.values()].filter((figure) => figure.due && figure.near && !figure.busy);
    const ready = wanted.filter((figure) => figure.last + REDRAW_MS <= now && figure.retryAt <= now);
    const free = AT_ONCE - [...figures.values()].filter((figure) => figure.busy).length;
    ready.map((figure) => [distance(figure.element), figure]).sort((a, b) => a[0] - b[0]).slice(0, Math.max(free, 0))
      .forEach(([, figure]) => fetchFigure(figure));
    const waiting = wanted.filter((figure) => !figure.busy).map((figure) => Math.max(figure.last + REDRAW_MS, figure.retryAt));
    if (waiting.length && free > 0) later = setTimeout(pump, Math.max(Math.min(...waiting) - now, 20));
  }

  function distance(element) {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom < 0 ? -bottom + 1e4 : top > window.innerHeight ? top + 1e4 : top;
  }

  document.addEventListener("visibilitychange", pump);

  // ---- one figure: fetch, draw, or say why not

  async function fetchFigure(figure) {
    const [path, wanted] = [figure.path, figure.wanted];
    figure.busy = true;
    figure.due = false;
    try {
      const base = document.getElementById("shell").dataset.base;
      const url = `${base}${path}${path.includes("?") ? "&" : "?"}zone=${encodeURIComponent(root.dataset.zone || "UTC")}`;
      const headers = figure.etag ? { "If-None-Match": figure.etag } : {};
      const answer = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS), cache: figure.etag ? "no-store" : "no-cache" });
      const json = answer.status === 304 ? null : await answer.json();
      if (!figures.has(figure.element) || figure.path !== path) return;
      if (json && answer.ok) await draw(figure, json, answer.headers.get("ETag") || "");
      else if (json && json.state && answer.status < 500) explain(figure, json);
      else if (json) throw new Error(json.detail || `the server answered ${answer.status}`);
      // a version that is behind the notice (another host) is asked for again with the next notice
      figure.shown = Math.max(figure.shown, wanted, Number(answer.headers.get("X-Larboard-Version")) || 0);
      figure.element.dataset.drawn = figure.shown;
      arrived(figure);
    } catch (error) {
      failed(figure, error);
    } finally {
      figure.busy = false;
      figure.last = figure.path === path ? Date.now() : 0; // another one was asked for meanwhile
      pump();
    }
  }

  async function draw(figure, json, etag) {
    const library = await plotly();
    if (!figures.has(figure.element)) return;
    const layout = json.layout || {};
    delete layout.template;
    delete layout.width;
    layout.height = layout.height || 0;
    if (layout.title && layout.title.text) layout.margin = { ...layout.margin, t: 56 };
    else if ("toolbar" in figure.element.dataset && layout.margin && layout.margin.t < TOOLBAR) layout.margin = { ...layout.margin, t: TOOLBAR };
    if (!figure.canvas) figure.element.replaceChildren();
    figure.layout = layout;
    rememberHeight(figure, layout.height);
    setHeight(figure, layout.height);
    const canvas = figure.canvas || figure.element.appendChild(document.createElement("div"));
    const current = viewed(figure, json.data, figure.canvas && figure.canvas.layout);
    await library.react(canvas, json.data, current, config(figure));
    if (!figure.canvas) listen(figure, canvas);
    figure.canvas = canvas;
    figure.etag = etag;
    const log = document.getElementById("log-switch");
    if (log && "toolbar" in figure.element.dataset) log.setAttribute("aria-pressed", (recallView(figure).yaxis || {}).type === "log");
  }

  function config(figure) {
    return { displayModeBar: "toolbar" in figure.element.dataset, displaylogo: false, responsive: false, modeBarButtonsToRemove: REMOVED, doubleClick: "autosize" };
  }

  // the layout as it came, with what a person has chosen since: zoom, logarithmic axes, buttons
  function viewed(figure, data, before) {
    const layout = structuredClone(figure.layout);
    layout.uirevision = figure.key;
    layout.autosize = true;
    layout.height = placeHeight(figure.element, figure.layout.height);
    if (larboard.dragmode) layout.dragmode = larboard.dragmode;
    else if (!("toolbar" in figure.element.dataset) && matchMedia("(pointer: coarse)").matches) layout.dragmode = false; // a finger scrolls
    for (const [axis, chosen] of Object.entries(recallView(figure))) layout[axis] = { ...layout[axis], ...chosen };
    (layout.updatemenus || []).forEach((menu, place) => press(menu, before && before.updatemenus && before.updatemenus[place], data, layout));
    return layout;
  }

  // a button of the figure that was pressed stays pressed in the next version of it
  function press(menu, before, data, layout) {
    const active = before ? before.active || 0 : 0;
    const button = (menu.buttons || [])[active];
    if (!active || !button || button.method !== "update") return;
    menu.active = active;
    for (const [name, values] of Object.entries(button.args[0] || {})) {
      data.forEach((trace, i) => set(trace, name, Array.isArray(values) ? values[i % values.length] : values));
    }
    for (const [name, value] of Object.entries(button.args[1] || {})) set(layout, name, value);
  }

  function set(where, path, value) {
    const names = path.split(".");
    const leaf = names.pop();
    for (const name of names) where = where[name] = where[name] || {};
    where[leaf] = value;
  }

  function explain(figure, problem) {
    const words = document.createElement("div");
    words.className = "why-not";
    const state = WORDS[problem.state] ? problem.state : "broken";
    const mark = document.createElement("span");
    mark.className = `mark ${state}`;
    const word = document.createElement("b");
    word.className = `state ${state}`;
    word.append(mark, ` ${WORDS[state]} `);
    words.append(word, problem.detail || "");
    if (problem.traceback) {
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      const text = document.createElement("pre");
      summary.textContent = "Traceback, for its author";
      text.textContent = problem.traceback;
      details.append(summary, text);
      words.append(details);
    }
    if (figure.canvas && library) library.purge(figure.canvas);
    figure.canvas = null;
    figure.etag = "";
    figure.element.replaceChildren(words);
  }

  function failed(figure, error) {
    figure.failedSince = figure.failedSince || Date.now() / 1000;
    figure.due = true;
    figure.retryAt = Date.now() + RETRY_MS;
    if (!figures.has(figure.element)) return;
    const note = document.createElement("div");
    note.className = "not-fetched";
    note.setAttribute("role", "status");
    const why = error.name === "TimeoutError" ? `no answer in ${TIMEOUT_MS / 1000} s` : error.name === "TypeError" ? "no answer" : error.message;
    const since = document.createElement("span");
    since.textContent = `${figure.canvas ? "Not kept up to date" : "Could not be fetched"} since ${larboard.moment(figure.failedSince)}: ${why}. `;
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Try again";
    again.addEventListener("click", () => { figure.retryAt = 0; figure.last = 0; pump(); });
    note.append(since, again);
    const before = figure.element.querySelector(":scope > .not-fetched");
    if (before) before.replaceWith(note);
    else figure.element.append(note);
  }

  function arrived(figure) {
    figure.failedSince = 0;
    const note = figure.element.querySelector(":scope > .not-fetched");
    if (note) note.remove();
  }

  // ---- size: of the place, not of the figure; remembered, so that nothing jumps at the next visit

  function placeHeight(element, own) {
    if ("fill" in element.dataset) return Math.max(own || 0, window.innerHeight - element.getBoundingClientRect().top - window.scrollY - 24, 360);
    return own || Number(element.dataset.height) || HEIGHT;
  }

  function setHeight(figure, own) {
    figure.element.style.height = `${placeHeight(figure.element, own)}px`;
    const tile = figure.element.closest(".tile");
    if (tile) tile.dataset.wide = own > WIDE ? "yes" : "no";
  }

  const plotOf = (figure) => figure.key.slice(figure.key.indexOf("/") + 1);

  function rememberHeight(figure, own) {
    try { localStorage.setItem(`larboard-height-${plotOf(figure)}`, own); } catch { /* private window */ }
  }

  function recalledHeight(figure) {
    let own = 0;
    try { own = Number(localStorage.getItem(`larboard-height-${plotOf(figure)}`)) || 0; } catch { /* private window */ }
    const tile = figure.element.closest(".tile");
    if (tile && own > WIDE) tile.dataset.wide = "yes";
    return own;
  }

  let resizing = null;
  const widths = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const figure = figures.get(target);
      if (figure && figure.canvas && Math.abs(contentRect.width - (figure.width || contentRect.width)) >= 1) figure.resized = true;
      if (figure) figure.width = contentRect.width;
    }
    clearTimeout(resizing);
    resizing = setTimeout(() => [...figures.values()].filter((figure) => figure.resized && figure.canvas).forEach(redraw), 100);
  });

  // from the layout as it came, and anew: Plotly narrows panels of a fixed shape for good, and keeps the room of a legend
  async function redraw(figure) {
    figure.resized = false;
    const canvas = figure.canvas;
    const { data, layout } = canvas;
    if (!layout) return; // its first drawing is not over, and takes the size of now
    setHeight(figure, figure.layout.height);
    await library.newPlot(canvas, data, viewed(figure, data, layout), config(figure));
    if (figure.canvas === canvas && canvas.on) listen(figure, canvas); // its page may have been left meanwhile
  }

  function listen(figure, canvas) {
    canvas.on("plotly_relayout", (event) => rememberView(figure, event));
    canvas.on("plotly_selected", (event) => larboard.marked && larboard.marked(canvas, event));
    if ("click" in figure.element.dataset) canvas.on("plotly_click", (event) => followClick(figure, event));
  }

  // from the map of pixels to its io_group, from a bin to the packets behind it
  function followClick(figure, event) {
    const point = event && event.points && event.points[0];
    const to = figure.element.dataset.click;
    if (!point || !to) return;
    const base = document.getElementById("shell").dataset.base;
    const { name, x } = point.fullData;
    if (!to.includes("?")) {
      const group = /^io_group (\d+)$/.exec(name);
      const inWindow = new URLSearchParams(location.search).get("window") === "1" ? "?window=1" : "";
      if (group) larboard.go(`${base}${to}${group[1]}${inWindow}`);
      return;
    }
    // of a heat map a row is told by its name, and its bins by their edges
    const [row, column] = [point.pointNumber].flat();
    const cell = column !== undefined;
    const label = cell ? String(point.y).trim() : [point.customdata].flat()[0];
    const place = cell ? column : row;
    const clicked = { series: name, x: cell ? x[place] : point.x, to: x && x[place + 1], label, zone: root.dataset.zone || "UTC" };
    const query = new URLSearchParams(Object.entries(clicked).filter(([, value]) => value !== undefined && value !== null));
    larboard.go(`${base}${to}&${query}`);
  }

  // null: a pointer zooms again
  larboard.setDragmode = (mode) => {
    larboard.dragmode = mode;
    const drawn = [...figures.values()].filter((figure) => figure.canvas && figure.canvas.layout && library);
    drawn.forEach((figure) => library.relayout(figure.canvas, { dragmode: mode || "zoom", selections: [] }));
  };

  window.addEventListener("resize", () => {
    for (const figure of figures.values()) if ("fill" in figure.element.dataset) figure.resized = true;
  });

  // ---- the view of a figure: zoom and logarithmic axes, by page, for as long as the tab lives

  const viewKey = (figure) => `larboard-view ${location.pathname} ${figure.path.replace(/([?&])mask=\w*/, "$1")}`;

  function recallView(figure) {
    try { return JSON.parse(sessionStorage.getItem(viewKey(figure))) || {}; } catch { return {}; }
  }

  function saveView(figure, view) {
    try { sessionStorage.setItem(viewKey(figure), JSON.stringify(view)); } catch { /* private window */ }
  }

  function forgetView(figure) {
    const view = recallView(figure);
    for (const axis of Object.keys(view)) if (axis.startsWith("x")) delete view[axis];
    saveView(figure, view);
  }

  function rememberView(figure, event) {
    const view = recallView(figure);
    let changed = false;
    for (const [name, value] of Object.entries(event || {})) {
      const found = /^([xy]axis\d*)\.(range|autorange|type)/.exec(name);
      if (!found) continue;
      changed = true;
      const [, axis, what] = found;
      const chosen = view[axis] || {};
      if (what === "type") view[axis] = { type: value };
      else if (what === "autorange") view[axis] = { ...(chosen.type ? { type: chosen.type } : {}), autorange: value };
      else view[axis] = { ...(chosen.type ? { type: chosen.type } : {}), range: [...figure.canvas.layout[axis].range], autorange: false };
    }
    if (changed) saveView(figure, view);
  }

  // how many figures in view are not drawn as they are wished
  larboard.figuresToCome = () => [...figures.values()].filter((figure) => figure.near && (figure.due || figure.busy)).length;

  // the logarithmic switch of an enlarged plot
  larboard.toggleLog = (button) => {
    const figure = figures.get(document.querySelector("#content [data-figure]"));
    if (!figure || !figure.canvas) return;
    const log = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(log));
    const type = log ? "log" : "linear";
    rememberView(figure, { "yaxis.type": type });
    redraw(figure);
  };

  document.querySelectorAll("[data-figure]").forEach(adopt);
  // it is large, and running it takes longer than anything else: begun before the first figure is asked for, but only on
  // the board and the pages of runs; a table must not wait for it, nor a map of pixels, which is no figure
  const withoutFigures = /\/runs\/[^/]+\/(detector|io_group|tile|chip|rows)(\/|$)/;
  if (/\/(runs\/.+)?$/.test(location.pathname) && !withoutFigures.test(location.pathname)) plotly().catch(() => {});
})();
