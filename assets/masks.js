// What if: channels are left out of a run by ticks, chips, marks on maps and bars, or a pasted JSON. The server makes every
// mask and says its address; figures that follow at once are asked for at once, the rest of the page comes by its callback.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const byId = (id) => document.getElementById(id);
  const LABEL = /^\d{1,3}-\d{1,3}-\d{1,3}-\d{1,2}$/;
  const CORNERS = 500;
  const CHANNELS = 64;
  const TOGETHER_MS = 60; // ticks that come this close are one change
  const ASK_MS = 2000; // how far a count is
  const panel = () => byId("what-if");
  const base = () => byId("shell").dataset.base;

  // ---- the page: what it shows, and what it showed before

  const store = () => (byId("plot-body") ? "plot-shown" : "run-key");
  let look = [];
  let page = ""; // for which `look` and the ways back are
  let ways = [];

  const leaving = () => "arriving" in document.documentElement.dataset; // the address is that of the page to come
  const maskNow = () => new URLSearchParams(location.search).get("mask") || "";

  function here() {
    if (page !== location.pathname) [page, look, ways] = [location.pathname, [], []];
  }

  function ids() {
    const path = location.pathname.slice(base().length).split("/").map(decodeURIComponent);
    return store() === "plot-shown" ? path.slice(1, 3) : path.slice(1, 2);
  }

  function apply(mask) {
    const address = new URL(location.href);
    if (mask) address.searchParams.set("mask", mask);
    else address.searchParams.delete("mask");
    history.replaceState(history.state, "", address.href);
    document.querySelectorAll("#content [data-figure][data-at-once]").forEach((element) => {
      const [path, query] = element.dataset.figure.split("?");
      const asked = new URLSearchParams(query || "");
      if (mask) asked.set("mask", mask);
      else asked.delete("mask");
      element.dataset.figure = asked.size ? `${path}?${asked}` : path;
    });
    tell();
  }

  function tell() {
    const inWindow = new URLSearchParams(location.search).get("window") === "1";
    window.dash_clientside.set_props(store(), { data: [...ids(), inWindow, maskNow(), look] });
  }

  function say(text) {
    const place = byId("what-if-said");
    if (place) place.textContent = text;
  }

  // one change after the other: each begins with the mask that the one before has made
  let queue = Promise.resolve();
  function edit(change) {
    here();
    queue = queue.then(() => send(change));
    return queue;
  }

  async function send(change) {
    const root = panel();
    if (!root) return;
    const refusal = larboard.refused("shifter");
    if (refusal) return say(refusal);
    const before = maskNow();
    const body = { run: root.dataset.run, ...(change.pasted === undefined ? { base: root.dataset.mask && before } : {}), ...change };
    try {
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const answer = await fetch(`${base()}api/v1/masks`, options);
      const made = await answer.json();
      if (!answer.ok) return say(`Not done: ${made.detail}`);
      root.dataset.mask = made.mask;
      say(made.said.join(" "));
      if (made.mask === before) return made.said.length ? undefined : say("These channels are left out already.");
      ways.push(before);
      apply(made.mask);
    } catch {
      say("Not done: the server does not answer. Try again.");
    }
  }

  // ---- buttons

  const typed = () => panel().querySelector("[data-input] input").value.trim();
  const acts = {
    add: () => (typed() ? edit({ chips: typed().split(/[\s,;]+/) }) : say("Write a chip such as 1-5-42, or a channel such as 1-5-42-7.")),
    look: () => {
      here();
      const chip = typed().split("-").slice(0, 3).join("-");
      if (!/^\d{1,3}-\d{1,3}-\d{1,3}$/.test(chip)) return say(`Expected a chip such as 1-5-42, got “${typed() || "nothing"}”.`);
      look = [...new Set([chip, ...look])].slice(0, 20);
      wanted = `chip-${chip}`;
      return tell();
    },
    hot: () => edit({ hot: true }),
    paste: () => edit({ pasted: panel().querySelector("[data-textarea] textarea").value }),
    undo: () => {
      here();
      if (!ways.length) return say("There is nothing to undo on this page.");
      const last = ways.pop();
      panel().dataset.mask = last;
      say("");
      return apply(last);
    },
    clear: () => {
      here();
      ways.push(maskNow());
      panel().dataset.mask = "";
      say("");
      return apply("");
    },
    copy: async () => {
      try {
        await navigator.clipboard.writeText(location.href);
        say("The link is copied: whoever may read this site sees the same.");
      } catch {
        say(`Copy it from here: ${location.href}`);
      }
    },
    select: (button) => {
      const way = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.way;
      panel().querySelectorAll("[data-way]").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.way === way)));
      larboard.setDragmode(way);
      say(way ? "Draw around pixels of a map, or bars of the hottest pixels: they are left out." : "");
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-what-if]");
    if (!button || button.getAttribute("aria-disabled") === "true" || leaving()) return;
    acts[button.dataset.whatIf](button);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.closest && event.target.closest("[data-input]")) acts.add();
  });

  // ---- marks: of bars by the names that they carry, of maps by their place, which the server looks up

  larboard.marked = (canvas, event) => {
    if (!larboard.dragmode || !event || !(event.range || event.lassoPoints)) return; // also said when a mark is taken away
    const names = (event.points || []).map((point) => [point.customdata].flat()[0]).filter((name) => LABEL.test(name));
    const area = names.length ? null : areaOf(canvas, event);
    window.Plotly.relayout(canvas, { selections: [] });
    if (names.length) edit({ leave_out: byChip(names) });
    else if (area) edit({ area });
    else say("Nothing there carries a channel: mark pixels of a map, or bars of the hottest pixels.");
  };

  function byChip(names) {
    const chips = {};
    for (const name of names) {
      const [chip, channel] = [name.slice(0, name.lastIndexOf("-")), Number(name.slice(name.lastIndexOf("-") + 1))];
      (chips[chip] = chips[chip] || []).push(channel);
    }
    return chips;
  }

  function areaOf(canvas, event) {
    const drawn = event.range || event.lassoPoints;
    const axis = drawn && Object.keys(drawn).find((name) => name[0] === "x");
    const trace = axis && canvas.data.find((one) => (one.xaxis || "x") === axis && one.meta && "io_group" in one.meta);
    if (!trace) return null;
    let [z, y] = [drawn[axis], drawn[axis.replace("x", "y")]];
    if (event.range) [z, y] = [[z[0], z[1], z[1], z[0]], [y[0], y[0], y[1], y[1]]];
    const every = Math.ceil(z.length / CORNERS);
    const some = (values) => values.filter((_, place) => place % every === 0);
    return z.length < 3 ? null : { io_group: trace.meta.io_group, z: some(z), y: some(y) };
  }

  // ---- ticks of channels, made when their chip is opened; fields for what is typed

  let wanted = "";
  const gathered = { leave_out: {}, count_again: {} };
  let sending = null;

  function ticks(place) {
    const { chip, out } = place.dataset;
    const gone = new Set(out ? out.split(",") : []);
    if (!place.firstChild) {
      place.append(tick(chip, "all", "all channels"));
      for (let channel = 0; channel < CHANNELS; channel += 1) place.append(tick(chip, String(channel), String(channel)));
    }
    place.querySelectorAll("input").forEach((box) => {
      if (box.value !== "all") box.checked = !gone.has(box.value);
      else [box.checked, box.indeterminate] = [!gone.size, gone.size > 0 && gone.size < CHANNELS];
    });
  }

  function tick(chip, value, text) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    [box.type, box.value] = ["checkbox", value];
    label.title = larboard.refused("shifter");
    box.disabled = Boolean(label.title);
    box.setAttribute("aria-label", `${chip} ${value === "all" ? "all channels" : `channel ${value}`}`);
    label.append(box, ` ${text}`);
    label.className = value === "all" ? "every" : "";
    return label;
  }

  document.addEventListener("change", (event) => {
    const place = event.target.closest && event.target.closest("[data-chip]");
    if (!place) return;
    const { chip } = place.dataset;
    const channels = event.target.value === "all" ? [...Array(CHANNELS).keys()] : [Number(event.target.value)];
    const [to, from] = event.target.checked ? [gathered.count_again, gathered.leave_out] : [gathered.leave_out, gathered.count_again];
    from[chip] = (from[chip] || []).filter((one) => !channels.includes(one));
    to[chip] = [...(to[chip] || []), ...channels];
    here();
    if (!look.includes(chip)) look = [chip, ...look].slice(0, 20); // it stays in the list when nothing of it is left out
    clearTimeout(sending);
    sending = setTimeout(() => {
      edit({ leave_out: gathered.leave_out, count_again: gathered.count_again });
      [gathered.leave_out, gathered.count_again] = [{}, {}];
    }, TOGETHER_MS);
  });

  document.addEventListener("toggle", (event) => {
    const place = event.target.open && event.target.querySelector && event.target.querySelector(":scope > [data-chip]");
    if (place) ticks(place);
  }, true);

  const seen = new WeakSet(); // panels that were opened once: who folds one is not asked again

  function furnish() {
    const root = panel();
    if (!root) return;
    if (root.dataset.opens && !seen.has(root)) { seen.add(root); root.open = true; }
    for (const place of root.querySelectorAll("[data-input]:empty")) {
      const field = place.appendChild(document.createElement("input"));
      Object.assign(field, { id: place.dataset.input, placeholder: place.dataset.hint, autocomplete: "off", spellcheck: false, size: 18 });
    }
    for (const place of root.querySelectorAll("[data-textarea]:empty")) {
      const field = place.appendChild(document.createElement("textarea"));
      Object.assign(field, { id: place.dataset.textarea, rows: 5, spellcheck: false });
      field.setAttribute("aria-label", "Disabled-channel JSON");
    }
    for (const link of root.querySelectorAll("[data-export]:not([data-there])")) {
      link.dataset.there = "yes";
      link.href = base() + link.getAttribute("href").replace(/^\//, "");
    }
    root.querySelectorAll("details[open] > [data-chip]").forEach(ticks);
    const opened = wanted && byId(wanted);
    if (opened) {
      wanted = "";
      opened.open = true;
      opened.querySelector("summary").focus();
    }
  }

  // a count goes on for as long as somebody asks how far it is
  setInterval(() => { if (!document.hidden && !leaving() && document.querySelector("#content [data-coming]")) tell(); }, ASK_MS);

  new MutationObserver(furnish).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-out", "data-mask"] });
  larboard.whenShell(furnish);
})();
