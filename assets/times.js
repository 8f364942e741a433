// <time data-unix> in the zone that is chosen: .moment (13:37:42), .age (4 s ago), .duration (00:14:32).
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const root = document.documentElement;
  const SECOND = 1000;
  const formats = new Map();

  function format(zone, name) {
    const key = zone + name;
    if (!formats.has(key)) {
      const options = {
        clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
        short: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
        long: { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
        full: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" },
        day: { year: "numeric", month: "2-digit", day: "2-digit" },
      }[name];
      formats.set(key, new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", timeZone: zone }));
    }
    return formats.get(key);
  }

  const zone = () => {
    try { format(root.dataset.zone || "UTC", "day"); return root.dataset.zone || "UTC"; } catch { return "UTC"; }
  };

  // 13:37:42 today, 8 Jul 13:37 else, with the year when it is another one
  larboard.moment = (unix) => {
    const [date, now, here] = [new Date(unix * SECOND), new Date(), zone()];
    const day = format(here, "day");
    if (day.format(date) === day.format(now)) return format(here, "clock").format(date);
    const sameYear = day.format(date).slice(-4) === day.format(now).slice(-4);
    return format(here, sameYear ? "short" : "long").format(date).replace(",", "");
  };

  larboard.age = (unix) => {
    const s = Math.round(Date.now() / SECOND - unix);
    if (s < -5) return "in the future";
    return larboard.span(Math.max(s, 0)) + " ago";
  };

  larboard.span = (s) => {
    if (s < 100) return `${s} s`;
    if (s < 100 * 60) return `${Math.round(s / 60)} min`;
    if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
    return `${Math.round(s / 86400)} days`;
  };

  function duration(start, end) {
    const s = Math.max(Math.round(end - start), 0);
    const two = (n) => String(n).padStart(2, "0");
    const clock = `${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
    return s < 86400 ? clock : `${Math.floor(s / 86400)} d ${clock}`;
  }

  function show(time) {
    const unix = Number(time.dataset.unix);
    if (!Number.isFinite(unix)) return;
    let text;
    if (time.classList.contains("bare")) text = larboard.span(Math.max(Math.round(Date.now() / SECOND - unix), 0));
    else if (time.classList.contains("age")) text = larboard.age(unix);
    else if (time.classList.contains("duration")) text = duration(unix, time.dataset.end ? Number(time.dataset.end) : Date.now() / SECOND);
    else if (time.classList.contains("exact")) text = format(zone(), "full").format(new Date(unix * SECOND));
    else text = larboard.moment(unix);
    if (time.textContent !== text) time.textContent = text;
    const full = `${format(zone(), "full").format(new Date(unix * SECOND))} ${zone()}`;
    if (time.title !== full) time.title = full;
    const iso = new Date(unix * SECOND).toISOString();
    if (time.dateTime !== iso) time.dateTime = iso;
  }

  larboard.showTimes = (within) => (within || document).querySelectorAll("time[data-unix]").forEach(show);

  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "attributes") { if (change.target.matches("time[data-unix]")) show(change.target); continue; }
      for (const node of change.addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        if (node.matches("time[data-unix]")) show(node);
        else larboard.showTimes(node);
      }
    }
  }).observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-unix", "data-end", "class"] });

  const moving = "time.age[data-unix], time.duration[data-unix]:not([data-end])";
  // without an answer nobody knows whether a run goes on: its duration stands still, while ages grow
  const known = "time.age[data-unix]";
  setInterval(() => {
    if (!document.hidden) document.querySelectorAll(root.dataset.live === "bad" ? known : moving).forEach(show);
  }, SECOND);
  setInterval(() => larboard.showTimes(), 60 * SECOND); // midnight
  document.addEventListener("visibilitychange", () => { if (!document.hidden) larboard.showTimes(); });
})();
