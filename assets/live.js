// What changed: notices of the stream become properties of the notice-* stores, at most once a second, and the header says
// whether the page is live.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const TOPICS = ["run", "element", "file", "plots", "ingest", "alarm", "pulse"];
  const FLUSH_MS = 1000;
  const waiting = new Map();
  let flushed = 0;
  let timer = null;

  function deliver(message) {
    if (message.kind === "state") return showState(message);
    if (message.kind === "signed out") return larboard.signedOut();
    if (message.kind === "gap") {
      TOPICS.forEach((topic) => note(topic, "*", message.seq));
      larboard.refreshFigures();
      return schedule();
    }
    const { topic, key, seq, version } = message.notice;
    if (topic === "element") larboard.elementChanged(key, version);
    note(topic, key, seq);
    return schedule();
  }

  function note(topic, key, seq) {
    if (!waiting.has(topic)) waiting.set(topic, { seq: 0, keys: new Set() });
    const topical = waiting.get(topic);
    topical.keys.add(key);
    topical.seq = Math.max(topical.seq, seq);
  }

  function schedule() {
    if (timer || !waiting.size || document.hidden) return;
    timer = setTimeout(flush, Math.max(0, flushed + FLUSH_MS - Date.now()));
  }

  function flush() {
    timer = null;
    flushed = Date.now();
    for (const [topic, { seq, keys }] of waiting) {
      window.dash_clientside.set_props(`notice-${topic}`, { data: { seq, keys: [...keys] } });
      if (onTheWay) onTheWay.set(topic, { seq, keys: new Set([...keys, ...(onTheWay.get(topic)?.keys || [])]) });
    }
    waiting.clear();
  }

  // What changes after the server has made a page and before the page is here would find nobody: it is told once more.
  let onTheWay = null;
  larboard.pageAsked = () => { onTheWay = new Map(); };
  larboard.pageCame = () => {
    for (const [topic, { seq, keys }] of onTheWay || []) keys.forEach((key) => note(topic, key, seq));
    onTheWay = null;
    schedule();
  };

  let state = null;
  function showState(next) {
    const back = state && !state.answers && next.answers;
    state = next;
    if (back) { larboard.refreshFigures(); larboard.askAgain(); }
    tellState();
  }

  function tellState() {
    const place = document.getElementById("live");
    if (!place || !state || state.live === null) return;
    const since = larboard.moment(state.since);
    const words = state.live ? "live"
      : state.answers ? `stream lost since ${since}, asking every 5 s`
      : `NO ANSWER since ${since}, asking every 5 s`;
    const kind = state.live ? "good" : state.answers ? "suspect" : "bad";
    const mark = document.createElement("span");
    mark.className = `mark ${kind}`;
    place.replaceChildren(mark, words);
    place.className = `live ${kind}`;
    place.title = state.live ? "Changes appear by themselves" : state.answers
      ? "The page is kept fresh by asking every 5 s until the stream is back"
      : "What you see may be old: the server does not answer";
    document.documentElement.dataset.live = kind;
  }

  function start(shell) {
    const { base, worker, seq } = shell.dataset;
    const after = Number(seq);
    if (window.SharedWorker) {
      try {
        const shared = new SharedWorker(worker, { name: `larboard ${base}` });
        shared.onerror = () => startHere(worker, base, after);
        shared.port.onmessage = ({ data }) => deliver(data);
        shared.port.postMessage({ kind: "join", base: absolute(base), after });
        window.addEventListener("pagehide", () => shared.port.postMessage({ kind: "bye" }));
        window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
        wake(() => shared.port.postMessage({ kind: "check" }));
        return;
      } catch { /* not allowed here */ }
    }
    startHere(worker, base, after);
  }

  function startHere(worker, base, after) {
    const script = document.createElement("script");
    script.src = worker;
    script.onload = () => { const own = larboard.makeNotices(absolute(base), after, deliver); wake(own.check); };
    document.head.append(script);
  }

  const absolute = (base) => new URL(base, location.href).href;

  function wake(check) {
    document.addEventListener("visibilitychange", () => { if (!document.hidden) { check(); schedule(); } });
    window.addEventListener("online", check);
  }

  larboard.whenShell = (act) => {
    const there = document.getElementById("shell");
    if (there) return act(there);
    const observer = new MutationObserver(() => {
      const shell = document.getElementById("shell");
      if (shell) { observer.disconnect(); act(shell); }
    });
    return observer.observe(document.body, { childList: true, subtree: true });
  };

  larboard.tellState = tellState;
  larboard.whenShell(start);
})();
