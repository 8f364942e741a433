// The frame: going from page to page, coming back to the same place, theme, zone, search, keys.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const root = document.documentElement;
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } };
  const byId = (id) => document.getElementById(id);
  const SLOW_MS = 8000; // a page that has not come by then is said to be late

  // ---- pages

  history.scrollRestoration = "manual";
  const places = new Map(Object.entries(JSON.parse(recallSession("larboard-places") || "{}"))); // entry -> scroll and focus
  let entry = (history.state && history.state.larboard) || newEntry();
  let current = null; // the page that is asked for
  let late = null;

  function newEntry() {
    const made = `${Date.now()}-${Math.random().toString(36).slice(2, 8)}`;
    history.replaceState({ ...history.state, larboard: made }, "");
    return made;
  }

  function recallSession(key) {
    try { return sessionStorage.getItem(key); } catch { return null; }
  }

  function keepPlace() {
    const tile = document.activeElement && document.activeElement.closest && document.activeElement.closest(".tile");
    places.set(entry, { top: window.scrollY, tile: tile ? tile.id : "" });
  }

  window.addEventListener("pagehide", () => {
    keepPlace();
    try { sessionStorage.setItem("larboard-places", JSON.stringify(Object.fromEntries([...places].slice(-50)))); } catch { /* private window */ }
  });

  let scrolling = null;
  window.addEventListener("scroll", () => {
    if (root.dataset.arriving) return; // the old page shrinks while the new one comes
    clearTimeout(scrolling);
    const here = entry;
    scrolling = setTimeout(() => { if (here === entry && !root.dataset.arriving) keepPlace(); }, 50);
  }, { passive: true });

  // goes to a page of the site
  larboard.go = (url, replace = false) => {
    const target = new URL(url, location.href);
    if (target.href === location.href) return;
    keepPlace();
    history[replace ? "replaceState" : "pushState"]({}, "", target.href);
    entry = newEntry();
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate")); // what dcc.Link says to dcc.Location
    show();
  };

  window.addEventListener("popstate", (event) => {
    entry = (event.state && event.state.larboard) || newEntry();
    if (current && current.path === location.pathname && current.search === location.search) arrive();
    else show();
  });

  // asks for the page of the address
  function show() {
    current = { path: location.pathname, search: location.search, n: current ? current.n + 1 : 1 };
    root.dataset.arriving = "yes";
    delete root.dataset.late;
    clearTimeout(late);
    late = setTimeout(() => { root.dataset.late = "yes"; }, SLOW_MS);
    larboard.pageAsked();
    window.dash_clientside.set_props("route", { data: current });
  }

  // a page that did not come is asked for anew once the server answers
  larboard.askAgain = () => { if (root.dataset.arriving) show(); };

  let shown = null;
  const clientside = {
    // the first page, and one that a callback goes to; a page that changes its own query is not made anew
    route(path) {
      if (!current || current.path !== path) setTimeout(show);
      return window.dash_clientside.no_update;
    },
    // the page is there: title, navigation, place
    arrived(title) {
      if (title === undefined) return window.dash_clientside.no_update;
      const name = byId("shell").dataset.title;
      document.title = title ? `${title} – ${name}` : name;
      requestAnimationFrame(arrive);
      return title;
    },
  };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    larboard: { ...((window.dash_clientside || {}).larboard || {}), ...clientside },
  });

  function arrive() {
    clearTimeout(late);
    delete root.dataset.late;
    larboard.pageCame();
    markNavigation();
    const first = shown === null;
    const place = places.get(entry);
    shown = entry;
    const content = byId("content");
    // the page may grow for some frames: the place is asked for until it is reached
    let tries = 0;
    const settle = () => {
      window.scrollTo(0, place ? place.top : 0);
      tries += 1;
      if (place && Math.abs(window.scrollY - place.top) > 1 && tries < 60) return requestAnimationFrame(settle);
      delete root.dataset.arriving;
      const tile = place && place.tile && byId(place.tile);
      if (tile) tile.focus({ preventScroll: true });
      else if (!first) content.focus({ preventScroll: true });
      return undefined;
    };
    settle();
  }

  function markNavigation() {
    document.querySelectorAll("#navigation a").forEach((link) => {
      const path = new URL(link.href).pathname;
      const base = root.dataset.base;
      const here = path === base ? location.pathname === base : location.pathname === path || location.pathname.startsWith(path + "/");
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
  }

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest && event.target.closest("a[href]");
    if (!link || link.target || link.hasAttribute("download")) return;
    const target = new URL(link.href, location.href);
    const base = byId("shell").dataset.base;
    if (target.origin !== location.origin || !target.pathname.startsWith(base)) return;
    if (/^(api|assets|sign-|_dash)/.test(target.pathname.slice(base.length))) return;
    event.preventDefault();
    if (target.hash && target.pathname === location.pathname && target.search === location.search) return toPart(target.hash);
    larboard.go(target.href);
  });

  function toPart(hash) {
    const part = byId(decodeURIComponent(hash.slice(1)));
    if (!part) return;
    part.scrollIntoView();
    part.focus({ preventScroll: true });
  }

  // ---- theme and zone

  function setTheme(name) {
    root.dataset.theme = name;
    root.dataset.mantineColorScheme = name;
    document.body.dataset.agThemeMode = name;
    const button = byId("theme-switch");
    if (button) button.textContent = name === "dark" ? "Light" : "Dark";
    larboard.themeFigures();
    window.dash_clientside.set_props("theme", { data: name });
  }

  let told = "UTC"; // what the store of the layout begins with: pages need not be made twice

  function setZone(name) {
    root.dataset.zone = name;
    const button = byId("zone-switch");
    button.title = `Times are ${name}; press for ${other(name)}`;
    button.querySelectorAll("span").forEach((choice) => choice.setAttribute("aria-current", choice.dataset.name === name));
    larboard.showTimes();
    larboard.tellState();
    if (name !== told) window.dash_clientside.set_props("zone", { data: name });
    told = name;
  }

  const other = (name) => (name === "UTC" ? byId("shell").dataset.zone : "UTC");

  larboard.whenShell((shell) => {
    // a zone remembered from another detector is not offered here
    if (root.dataset.zone !== "UTC" && root.dataset.zone !== shell.dataset.zone) root.dataset.zone = "UTC";
    setTheme(root.dataset.theme);
    setZone(root.dataset.zone);
    markNavigation();
  });

  // ---- buttons

  const actions = {
    "theme-switch": () => {
      const next = root.dataset.theme === "dark" ? "light" : "dark";
      remember("larboard-theme", next);
      setTheme(next);
    },
    "zone-switch": () => {
      const next = other(root.dataset.zone);
      remember("larboard-zone", next);
      setZone(next);
      larboard.zoneFigures();
    },
    fold: () => {
      const next = root.dataset.nav === "folded" ? "open" : "folded";
      remember("larboard-nav", next);
      root.dataset.nav = next;
    },
    "keys-button": () => byId("keys").showModal(),
    "keys-close": () => byId("keys").close(),
    "log-switch": (button) => larboard.toggleLog(button),
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button");
    if (!button) return;
    if (actions[button.id]) actions[button.id](button);
    if (button.classList.contains("retry-page")) show();
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "search-form") return;
    event.preventDefault();
    const words = byId("search").value.trim();
    larboard.go(words ? `${byId("shell").dataset.base}runs?search=${encodeURIComponent(words)}` : `${byId("shell").dataset.base}runs`);
    byId("search").blur();
  });

  // ---- keys

  const visible = (element) => element.getClientRects().length > 0;
  const tiles = () => [...document.querySelectorAll("#content .tile")].filter(visible);

  function step(by) {
    const link = byId(by > 0 ? "next-plot" : "previous-plot");
    if (link) return link.click();
    const all = tiles();
    const here = all.indexOf(document.activeElement.closest(".tile"));
    const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1)];
    if (!next) return undefined;
    next.focus({ preventScroll: true });
    return next.scrollIntoView({ block: "nearest" });
  }

  function press(id) {
    const link = byId(id);
    if (link && link.href) link.click();
  }

  function enlarge() {
    const tile = document.activeElement.closest(".tile");
    const link = tile && tile.querySelector("a.enlarge");
    if (link) link.click();
    return Boolean(link);
  }

  // the run of an enlarged plot, by its address: the page itself may still be on its way
  const runOf = (path) => (/^(.*\/runs\/[^/]+)\/(?!(?:detector|rows)$)[^/]+$/.exec(path) || [])[1];

  // from a level of the detector one level up: what was chosen there may have come by another way
  function upOneLevel() {
    const up = document.querySelector('[data-up="level"] #up');
    if (!up) return false;
    if (previousPage === up.href) history.back();
    else larboard.go(up.href);
    return true;
  }

  // back to where one came from; from a link that was opened directly, up to the run
  function back() {
    if (upOneLevel()) return;
    const up = runOf(location.pathname);
    if (!up) return;
    if (previous === up) history.back();
    else larboard.go(up);
  }

  let previous = "", previousPage = "";
  window.addEventListener("popstate", () => { previousPage = ""; });
  const go = larboard.go;
  larboard.go = (url, replace) => {
    previousPage = replace ? previousPage : location.href;
    // stepping through the enlarged plots of a run takes the place of the entry: Esc still goes back to the tiles
    const [from, to] = [runOf(location.pathname), runOf(new URL(url, location.href).pathname)];
    if (!from || !to) previous = location.pathname;
    go(url, replace || Boolean(from && from === to));
  };

  let chord = 0;
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (target.matches && target.matches("input, textarea, select, [contenteditable]")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (byId("keys").open) return;
    if (target.closest && target.closest(".ag-root-wrapper") && event.key !== "/" && event.key !== "?") return;
    const pages = { b: "board", r: "runs", t: "trends", f: "files", p: "plots", h: "monitor" };
    if (Date.now() - chord < 1500 && pages[event.key]) {
      chord = 0;
      const link = document.querySelector(`#navigation a[data-page="${pages[event.key]}"]`);
      if (link) link.click();
      return;
    }
    chord = 0;
    const onTile = target.classList && target.classList.contains("tile");
    if (event.key === "/") { event.preventDefault(); byId("search").focus(); }
    else if (event.key === "?") byId("keys").showModal();
    else if (event.key === "g") chord = Date.now();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "e" || (event.key === "Enter" && onTile)) enlarge();
    else if (event.key === "[") press("previous-run");
    else if (event.key === "]") press("next-run");
    else if (event.key === "Escape") back();
    else if (event.key === "Backspace" && upOneLevel()) event.preventDefault();
  });
})();
