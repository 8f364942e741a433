// Owns the one stream of notices of this browser (a SharedWorker: all tabs share it; six streams would be all that HTTP/1.1
// allows). The stream errs or is silent: it asks /changes every 5 s, and goes on trying the stream. A page without
// SharedWorker loads this file itself.
(function (scope) {
  "use strict";
  const QUIET_MS = 30000;
  const POLL_MS = 5000;
  const PATIENCE_MS = 15000; // for a stream that neither begins nor errs
  const KEEP = 2000;

  // `send(message)` gets {kind: "notice", notice}, {kind: "gap", seq} and {kind: "state", live, answers, since}
  function makeNotices(base, after, send) {
    let source = null;
    let streaming = false;
    let last = after;
    let [heard, opened] = [0, 0];
    let state = { kind: "state", live: null, answers: true, since: Date.now() / 1000 };

    function say(live, answers) {
      if (state.live === live && state.answers === answers) return;
      // since when it is lost, not since when the words are these
      const since = state.live === false && live === false ? state.since : Date.now() / 1000;
      state = { kind: "state", live, answers, since };
      send(state);
    }

    function take(notice) {
      if (!(notice.seq > last)) return;
      last = notice.seq;
      send({ kind: "notice", notice });
    }

    function gap(seq) {
      last = seq;
      send({ kind: "gap", seq });
    }

    function alive() {
      streaming = true;
      say(true, true);
    }

    function open() {
      if (source) source.close();
      opened = Date.now();
      const mine = (source = new EventSource(`${base}api/v1/events?after=${last}`));
      const listen = (name, act) => mine.addEventListener(name, (event) => {
        if (mine !== source) return;
        heard = Date.now();
        act(event.data ? JSON.parse(event.data) : {});
        alive();
      });
      listen("hello", (hello) => { if (hello.gap || hello.seq < last) gap(hello.seq); }); // pruned, or another store
      listen("notice", take);
      listen("gap", (hello) => gap(hello.seq));
      listen("ping", () => {});
      mine.onerror = () => { if (mine === source) lost(); };
    }

    function lost() {
      source.close();
      source = null;
      if (streaming || state.live === null) poll();
      streaming = false;
    }

    async function poll() {
      try {
        const options = { signal: AbortSignal.timeout(POLL_MS - 500), cache: "no-store" };
        const answer = await fetch(`${base}api/v1/changes?after=${last}`, options);
        if (answer.status === 401) { send({ kind: "signed out" }); return say(false, true); }
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const changes = await answer.json();
        if (streaming) return; // the stream came back meanwhile
        if (changes.gap || changes.seq < last) gap(changes.seq);
        else { changes.notices.forEach(take); last = Math.max(last, changes.seq); }
        return say(false, true);
      } catch {
        return streaming ? undefined : say(false, false);
      }
    }

    // timers stand still while the computer sleeps: the first one after it finds the silence
    function check() {
      const now = Date.now();
      if (streaming && now - heard > QUIET_MS) lost();
      else if (!streaming && state.live !== null) poll();
      if (!streaming && (!source || now - opened > PATIENCE_MS)) open();
    }

    setInterval(check, POLL_MS);
    open();
    return { check, state: () => state, last: () => last };
  }

  if (typeof SharedWorkerGlobalScope === "undefined" || !(scope instanceof SharedWorkerGlobalScope)) {
    scope.larboard = scope.larboard || {};
    scope.larboard.makeNotices = makeNotices;
    return;
  }

  const ports = new Set();
  const kept = new Map(); // the newest notice of each topic and key, for tabs that come later
  let stream = null;
  let begin = 0; // nothing before this number is known here

  function toAll(message) {
    if (message.kind === "gap") { kept.clear(); begin = message.seq; }
    if (message.kind === "notice") remember(message.notice);
    ports.forEach((port) => port.postMessage(message));
  }

  function remember(notice) {
    const key = `${notice.topic} ${notice.key}`;
    kept.delete(key); // so that the order is that of the numbers
    kept.set(key, notice);
    if (kept.size <= KEEP) return;
    const [oldest, first] = kept.entries().next().value;
    kept.delete(oldest);
    begin = first.seq;
  }

  function join(port, base, after) {
    ports.add(port);
    if (!stream) {
      begin = after;
      stream = makeNotices(base, after, toAll);
    } else if (after < begin || after > stream.last() + KEEP) port.postMessage({ kind: "gap", seq: stream.last() });
    else [...kept.values()].filter((notice) => notice.seq > after).forEach((notice) => port.postMessage({ kind: "notice", notice }));
    port.postMessage(stream.state());
  }

  scope.onconnect = (event) => {
    const port = event.ports[0];
    port.onmessage = ({ data }) => {
      if (data.kind === "join") join(port, data.base, data.after);
      else if (data.kind === "bye") ports.delete(port);
      else if (data.kind === "check" && stream) stream.check();
    };
    port.start();
  };
})(self);
