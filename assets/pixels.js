// Maps of pixels: fetched as numbers, painted on a canvas, each point of it knowing which pixel it shows.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const TIMEOUT_MS = 30000;
  const RETRY_MS = 5000;
  const FRESH_MS = 4000; // between two maps of a run that goes on
  const [TITLE, GAP, LEAST, BELOW] = [18, 10, 300, 64]; // px: words above a panel, between panels, height of a map, what stands under it
  const NOBODY = [0xc9, 0xb8, 0xa3]; // without a packet: a colour that viridis does not have
  const STOPS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"];
  const WORDS = { nodata: "NO DATA", broken: "BROKEN", unknown: "NOT YET" };
  const maps = new Map(); // element -> its map
  const kept = new Map(); // address -> { version, tag, geometry, values }; the newest last
  const geometries = new Map(); // id -> a promise of its pixels

  const viridis = (() => {
    const table = new Uint8Array(3 * 256);
    const stop = STOPS.map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    for (let i = 0; i < 256; i += 1) {
      const at = (i / 255) * (stop.length - 1), low = Math.min(Math.floor(at), stop.length - 2);
      for (let c = 0; c < 3; c += 1) table[3 * i + c] = Math.round(stop[low][c] + (at - low) * (stop[low + 1][c] - stop[low][c]));
    }
    return table;
  })();

  // ---- which maps there are

  function adopt(element) {
    const map = { element, busy: false, late: null, retry: null, painted: null, last: 0, width: 0 };
    maps.set(element, map);
    // while the old page is still measured the place is held
    element.style.minHeight = `${heightOf(element)}px`;
    sizes.observe(element);
    show(map);
  }

  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "attributes") { if (maps.has(target)) show(maps.get(target)); continue; }
      addedNodes.forEach((node) => {
        if (node.nodeType !== Node.ELEMENT_NODE) return;
        if (node.matches("[data-pixels]")) adopt(node);
        node.querySelectorAll("[data-pixels]").forEach(adopt);
      });
    }
    for (const [element, map] of maps) {
      if (element.isConnected) continue;
      maps.delete(element);
      sizes.unobserve(element);
      [map.late, map.retry, map.size].forEach(clearTimeout);
    }
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-pixels", "data-version", "data-place", "data-level"] });

  const sizes = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const map = maps.get(target);
      if (map && map.painted && Math.abs(contentRect.width - map.width) >= 1) soon(map);
    }
  });
  window.addEventListener("resize", () => maps.forEach(soon));

  function soon(map) {
    clearTimeout(map.size);
    map.size = setTimeout(() => { if (map.painted) paint(map, map.painted.values, map.painted.places); }, 100);
  }

  const heightOf = (element) => Math.max(window.innerHeight - element.getBoundingClientRect().top - window.scrollY - BELOW - 24, LEAST) + BELOW;

  // ---- numbers: of a run as often as it changes, of a geometry once

  const base = () => document.getElementById("shell").dataset.base;

  async function show(map) {
    const { pixels: address, level, place } = map.element.dataset;
    const wanted = `${address} ${level} ${place}`;
    if (map.wanted !== wanted) {
      // what is painted is another place or another value: nobody may point into it
      map.wanted = wanted;
      map.last = 0;
      map.painted = null;
      if (map.parts) map.parts.box.hidden = map.parts.tip.hidden = true;
      delete map.element.dataset.painted;
    }
    if (map.busy) { map.again = true; return; }
    const { pixels, geometry, version } = map.element.dataset;
    const known = kept.get(pixels);
    if (known && known.geometry === geometry) {
      const places = geometries.get(geometry);
      if (places && places.made) {
        paint(map, known, places.made);
        if (known.version === Number(version)) return;
      }
    }
    const wait = map.last + FRESH_MS - Date.now();
    if (wait > 0) { clearTimeout(map.late); map.late = setTimeout(() => show(map), wait); return; }
    map.busy = true;
    map.last = Date.now();
    try {
      const [values, places] = await Promise.all([fetchValues(pixels, known), placesOf(geometry)]);
      if (maps.get(map.element) === map && map.element.dataset.pixels === pixels) paint(map, values, places);
    } catch (problem) {
      failed(map, problem);
    } finally {
      map.busy = false;
      if (map.again) { map.again = false; show(map); }
    }
  }

  async function fetchValues(path, known) {
    const headers = known && known.tag ? { "If-None-Match": known.tag } : {};
    const answer = await fetch(base() + path, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status === 304) return known;
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw Object.assign(new Error(problem.detail || `the server answered ${answer.status}`), { state: answer.status < 500 ? problem.state : "" });
    }
    const made = {
      version: Number(answer.headers.get("X-Larboard-Version")) || 0, tag: answer.headers.get("ETag") || "",
      geometry: answer.headers.get("X-Larboard-Geometry") || "", values: new Float32Array(await answer.arrayBuffer()),
    };
    made.scale = scaleOf(made.values);
    kept.delete(path);
    kept.set(path, made);
    while (kept.size > 4) kept.delete(kept.keys().next().value);
    return made;
  }

  function placesOf(id) {
    if (!geometries.has(id)) {
      const coming = fetch(`${base()}api/v1/geometries/${encodeURIComponent(id)}/pixels`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
        .then(async (answer) => {
          if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || `the server answered ${answer.status}`);
          coming.made = read(await answer.arrayBuffer());
          return coming.made;
        });
      coming.catch(() => geometries.delete(id));
      geometries.set(id, coming);
    }
    return geometries.get(id);
  }

  function read(buffer) {
    const n = new Uint32Array(buffer, 0, 1)[0];
    const wide = (k) => new Uint16Array(buffer, 4 + 2 * k * n, n);
    const narrow = (k) => new Uint8Array(buffer, 4 + 6 * n + k * n, n);
    return { n, column: wide(0), row: wide(1), tile: wide(2), io_group: narrow(0), io_channel: narrow(1), chip: narrow(2), channel: narrow(3) };
  }

  // one range for all levels of a run; a few hot pixels must not turn the rest into one colour
  function scaleOf(values) {
    const finite = values.filter(Number.isFinite).sort();
    if (!finite.length) return { top: 1, most: 1 };
    const top = finite[Math.floor(0.995 * (finite.length - 1))] || finite[finite.length - 1] || 1;
    return { top, most: finite[finite.length - 1] };
  }

  // ---- painting: every point of a panel shows one pixel, the highest of those that fall on it

  function members(places, level, text) {
    const at = [], ids = text.split("-").map(Number);
    const fits = {
      detector: () => true,
      io_group: (i) => places.io_group[i] === ids[0],
      tile: (i) => places.tile[i] === ids[0],
      chip: (i) => places.chip[i] === ids[2] && places.io_channel[i] === ids[1] && places.io_group[i] === ids[0],
    }[level];
    for (let i = 0; i < places.n; i += 1) if (fits(i)) at.push(i);
    return at;
  }

  // pixels by io_group, with the corner and the size of each in cells
  function panelsOf(places, level, text) {
    const key = `${level} ${text}`;
    if (places.cut && places.cut.key === key) return places.cut.panels;
    const panels = new Map();
    for (const i of members(places, level, text)) {
      const group = places.io_group[i], c = places.column[i], r = places.row[i];
      let one = panels.get(group);
      if (!one) panels.set(group, one = { group, pixels: [], left: c, right: c, low: r, high: r });
      one.pixels.push(i);
      if (c < one.left) one.left = c;
      if (c > one.right) one.right = c;
      if (r < one.low) one.low = r;
      if (r > one.high) one.high = r;
    }
    const made = [...panels.values()].sort((a, b) => a.group - b.group);
    for (const one of made) { one.columns = one.right - one.left + 1; one.rows = one.high - one.low + 1; }
    places.cut = { key, panels: made };
    return made;
  }

  // as many columns of panels as make the cells largest
  function arrange(panels, width, height) {
    const wide = Math.max(...panels.map((one) => one.columns)), high = Math.max(...panels.map((one) => one.rows));
    let best = { cell: 0 };
    for (let across = 1; across <= panels.length; across += 1) {
      const down = Math.ceil(panels.length / across);
      const cell = Math.min((width - GAP * (across - 1)) / across / wide, (height - down * TITLE - GAP * (down - 1)) / down / high);
      if (cell > best.cell) best = { cell, across, down };
    }
    const cell = Math.max(best.cell, 0.1);
    return { cell, across: best.across || 1, down: best.down || panels.length, wide: wide * cell, high: high * cell };
  }

  function paint(map, values, places) {
    const begun = performance.now();
    const { element } = map;
    const { level, place } = element.dataset;
    const panels = panelsOf(places, level, place);
    map.width = element.clientWidth;
    if (!map.width || !panels.length) return;
    if (!map.parts) furnish(map);
    const grid = arrange(panels, map.width, heightOf(element) - BELOW);
    const ratio = window.devicePixelRatio || 1;
    const height = grid.down * (grid.high + TITLE) + GAP * (grid.down - 1);
    const w = Math.max(Math.round(map.width * ratio), 1), h = Math.max(Math.round(height * ratio), 1);
    const shown = new Int32Array(w * h).fill(-1), data = values.values;
    panels.forEach((panel, n) => {
      panel.x = (n % grid.across) * (grid.wide + GAP);
      panel.y = Math.floor(n / grid.across) * (grid.high + TITLE + GAP) + TITLE;
      project(panel, places, data, shown, w, h, grid.cell * ratio, ratio);
    });
    const { canvas, stage } = map.parts;
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d"), image = context.createImageData(w, h), out = image.data;
    const { top } = values.scale;
    for (let p = 0; p < shown.length; p += 1) {
      const i = shown[p];
      if (i < 0) continue;
      const value = data[i], at = 4 * p;
      if (value === value) {
        const c = 3 * Math.max(0, Math.min(255, Math.round((value / top) * 255)));
        out[at] = viridis[c]; out[at + 1] = viridis[c + 1]; out[at + 2] = viridis[c + 2];
      } else [out[at], out[at + 1], out[at + 2]] = NOBODY;
      out[at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    map.painted = { values, places, panels, shown, w, h, ratio, cell: grid.cell };
    titles(map, level === "detector" ? panels : []);
    legend(map);
    stage.style.height = `${height}px`;
    element.querySelectorAll(":scope > .why-not, :scope > .not-fetched").forEach((one) => one.remove());
    element.style.minHeight = "";
    element.dataset.painted = values.version;
    element.dataset.cell = grid.cell.toFixed(3);
    element.dataset.paintMs = (performance.now() - begun).toFixed(1);
  }

  // which pixel each point of a panel shows: of several that fall on it the highest, so that no hot one is lost
  function project(panel, places, data, shown, w, h, cell, ratio) {
    const left = Math.round(panel.x * ratio), top = Math.round(panel.y * ratio);
    for (const i of panel.pixels) {
      const c = places.column[i] - panel.left, r = panel.high - places.row[i];
      const x0 = left + Math.floor(c * cell), x1 = Math.max(left + Math.floor((c + 1) * cell), x0 + 1);
      const y0 = top + Math.floor(r * cell), y1 = Math.max(top + Math.floor((r + 1) * cell), y0 + 1);
      for (let y = y0; y < Math.min(y1, h); y += 1) for (let x = x0; x < Math.min(x1, w); x += 1) {
        const p = y * w + x, before = shown[p];
        if (before < 0 || !(data[before] >= data[i])) shown[p] = i;
      }
    }
  }

  function furnish(map) {
    const make = (tag, name, parent) => Object.assign(parent.appendChild(document.createElement(tag)), { className: name });
    map.element.replaceChildren();
    const stage = make("div", "stage", map.element);
    const canvas = make("canvas", "", stage), box = make("div", "child-box", stage), tip = make("div", "pixel-tip", stage);
    const names = make("div", "panel-names", stage), key = make("div", "map-key", map.element);
    box.hidden = tip.hidden = true;
    canvas.addEventListener("pointermove", (event) => hover(map, event));
    canvas.addEventListener("pointerleave", () => { box.hidden = tip.hidden = true; });
    canvas.addEventListener("click", (event) => {
      const i = pixelAt(map, event);
      if (i >= 0) larboard.go(base() + address(map, i));
    });
    map.parts = { stage, canvas, box, tip, names, key };
  }

  function titles(map, panels) {
    map.parts.names.replaceChildren(...panels.map((panel) => {
      const name = document.createElement("span");
      name.textContent = `io_group ${panel.group}`;
      name.style.left = `${panel.x}px`;
      name.style.top = `${panel.y - TITLE}px`;
      return name;
    }));
  }

  function legend(map) {
    const { unit, title } = map.element.dataset, { scale } = map.painted.values;
    const bar = document.createElement("span"), none = document.createElement("span");
    bar.className = "bar";
    bar.style.background = `linear-gradient(to right, ${STOPS.map((stop) => `#${stop}`).join(", ")})`;
    none.className = "swatch";
    none.style.background = `rgb(${NOBODY.join(",")})`;
    const more = scale.most > scale.top ? ` and above (up to ${amount(scale.most)} ${unit})` : "";
    const dense = map.painted.cell * map.painted.ratio < 1 ? " Each point shows the highest of the pixels that fall on it." : "";
    const words = (text) => { const span = document.createElement("span"); span.textContent = text; return span; };
    const nobody = words("");
    nobody.append(none, words(`\u00a0no packet.${dense}`)); // they stay together where the line is broken
    map.parts.key.replaceChildren(words(`${title}: 0`), bar, words(`${amount(scale.top)} ${unit}${more}`), nobody);
  }

  const amount = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4))));

  // ---- what is under the pointer

  function pixelAt(map, event) {
    if (!map.painted) return -1;
    const { shown, w, h, ratio } = map.painted, bounds = map.parts.canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - bounds.left) * ratio), y = Math.floor((event.clientY - bounds.top) * ratio);
    return x >= 0 && y >= 0 && x < w && y < h ? shown[y * w + x] : -1;
  }

  function address(map, i) {
    const { places } = map.painted;
    return map.element.dataset.down.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(places[name][i]));
  }

  function hover(map, event) {
    const i = pixelAt(map, event), { box, tip, canvas } = map.parts;
    canvas.style.cursor = i < 0 ? "" : "pointer";
    box.hidden = tip.hidden = i < 0;
    if (i < 0) return;
    const { places, values } = map.painted, { unit, title, below } = map.element.dataset;
    const value = values.values[i];
    const said = value === value ? `${title.toLowerCase()} ${amount(value)} ${unit}` : "no packet";
    tip.replaceChildren();
    const lines = [
      `io_group ${places.io_group[i]}, io_channel ${places.io_channel[i]}, chip ${places.chip[i]}, channel ${places.channel[i]}`,
      said, `tile ${places.tile[i]}; a click opens ${below} ${childName(below, places, i)}`,
    ];
    lines.forEach((text, n) => { const line = document.createElement(n === 1 ? "b" : "span"); line.textContent = text; tip.append(line); });
    frame(map, i);
    const bounds = canvas.getBoundingClientRect(), x = event.clientX - bounds.left, y = event.clientY - bounds.top;
    const left = x + 16 + tip.offsetWidth > bounds.width ? x - 16 - tip.offsetWidth : x + 16;
    tip.style.left = `${Math.max(left, 0)}px`;
    tip.style.top = `${y + 16 + tip.offsetHeight > bounds.height ? Math.max(y - 16 - tip.offsetHeight, 0) : y + 16}px`;
  }

  function childName(below, { io_group, io_channel, tile, chip, channel }, i) {
    if (below === "io_group") return io_group[i];
    if (below === "tile") return tile[i];
    return [io_group[i], io_channel[i], chip[i], ...(below === "channel" ? [channel[i]] : [])].join("-");
  }

  // a frame around what a click opens
  function frame(map, i) {
    const { places, panels, cell } = map.painted, { below } = map.element.dataset, { box } = map.parts;
    const panel = panels.find((one) => one.group === places.io_group[i]);
    const same = {
      io_group: () => true,
      tile: (j) => places.tile[j] === places.tile[i],
      chip: (j) => places.chip[j] === places.chip[i] && places.tile[j] === places.tile[i],
      channel: (j) => j === i,
    }[below];
    let [left, right, low, high] = [Infinity, -1, Infinity, -1];
    for (const j of panel.pixels) {
      if (!same(j)) continue;
      left = Math.min(left, places.column[j]); right = Math.max(right, places.column[j]);
      low = Math.min(low, places.row[j]); high = Math.max(high, places.row[j]);
    }
    box.style.left = `${panel.x + (left - panel.left) * cell}px`;
    box.style.top = `${panel.y + (panel.high - high) * cell}px`;
    box.style.width = `${(right - left + 1) * cell}px`;
    box.style.height = `${(high - low + 1) * cell}px`;
  }

  // ---- why there is none

  function failed(map, problem) {
    if (maps.get(map.element) !== map) return;
    const note = document.createElement("div");
    if (WORDS[problem.state]) {
      const word = document.createElement("b"), mark = document.createElement("span");
      mark.className = `mark ${problem.state}`;
      word.className = `state ${problem.state}`;
      word.append(mark, ` ${WORDS[problem.state]} `);
      note.className = "why-not";
      note.append(word, problem.message);
    } else {
      const why = problem.name === "TimeoutError" ? `no answer in ${TIMEOUT_MS / 1000} s` : problem.name === "TypeError" ? "no answer" : problem.message;
      const again = document.createElement("button"), words = document.createElement("span");
      words.textContent = `The map ${map.painted ? "is not kept up to date" : "could not be fetched"} since ${larboard.moment(Date.now() / 1000)}: ${why}. `;
      again.type = "button";
      again.textContent = "Try again";
      again.addEventListener("click", () => { map.last = 0; show(map); });
      note.className = "not-fetched";
      note.setAttribute("role", "status");
      note.append(words, again);
      clearTimeout(map.retry);
      map.retry = setTimeout(() => show(map), RETRY_MS);
    }
    map.element.querySelectorAll(":scope > .why-not, :scope > .not-fetched").forEach((one) => one.remove());
    map.element.append(note);
  }

  document.querySelectorAll("[data-pixels]").forEach(adopt);
})();
