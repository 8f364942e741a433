// Long tables (Runs, Files) and the picker of Trends: what the browser does of them. The rows come from the server.
(function () {
  "use strict";
  const pages = (window.larboardPages = window.larboardPages || {});
  const made = () => window.React.createElement;

  // -- the query of the URL is the state of a view ------------------------------------------------------------

  let believed = null; // the place that Dash still believes in, since it is not told of a replaced query

  /** Sets parts of the query in the address bar; an empty value removes one. Nothing is loaded anew. */
  pages.setQuery = function (changes) {
    const query = new URLSearchParams(window.location.search);
    for (const [name, value] of Object.entries(changes)) {
      query.delete(name);
      if (value) query.set(name, value);
    }
    // commas, colons and tildes are legal in a query, and people read it
    const text = query.toString().replace(/%2C/gi, ",").replace(/%3A/gi, ":").replace(/%7E/gi, "~");
    const { pathname, search, hash } = window.location;
    const next = text ? "?" + text : "";
    if (next !== search) {
      if (!believed || believed.pathname !== pathname) believed = { pathname, search };
      window.history.replaceState(window.history.state, "", pathname + next + hash);
    }
    return next;
  };

  // a link to what Dash believes to show already (Runs, while filters are set) would do nothing
  const arrived = () => {
    const { pathname, search } = window.location;
    const again = believed && believed.pathname === pathname && believed.search === search;
    believed = null;
    if (again) window.dash_clientside.set_props("route", { data: { path: pathname, search: search, n: Date.now() } });
  };
  window.addEventListener("_dashprivate_pushstate", arrived);
  window.addEventListener("popstate", arrived);

  /** Follows a link inside the site. */
  pages.go = (href) => window.larboard.go(href);

  /** The address of a page, below the prefix of the site. */
  pages.address = function (path) {
    const shell = document.getElementById("shell");
    const base = (shell && shell.dataset.base) || "/";
    return base.replace(/\/$/, "") + path;
  };
  const runAddress = (key) => pages.address("/runs/" + encodeURIComponent(key));

  const order = (request) =>
    ((request && request.sortModel) || []).map((by) => (by.sort === "desc" ? "-" : "") + by.colId).join(",");

  const withGrid = (id, act) => {
    if (!window.dash_ag_grid || !document.getElementById(id)) return;
    window.dash_ag_grid.getApiAsync(id).then((api) => api && !api.isDestroyed() && act(api), () => {});
  };

  const skip = () => window.dash_clientside.no_update;

  // -- cells -------------------------------------------------------------------------------------------------

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

  cells.RunLink = function (props) {
    if (!props.value) return props.data ? "–" : null;
    return made()("a", { href: runAddress(props.value), tabIndex: -1 }, props.value);
  };

  cells.StateMark = function (props) {
    if (!props.data) return null;
    const shape = props.data.shape || props.data.quality;
    return made()(
      "span",
      { className: "state " + shape },
      made()("span", { className: "mark " + shape, "aria-hidden": true }),
      " " + props.data.word
    );
  };

  cells.Moment = function (props) {
    if (props.value === null || props.value === undefined) return props.data ? "–" : null;
    // a new element for a new time: its text belongs to times.js
    return made()("time", { key: props.value, className: "moment", "data-unix": props.value.toFixed(3) });
  };

  cells.Titled = function (props) {
    if (!props.data) return null;
    const title = props.data[props.title] || props.value;
    return made()("span", { className: "titled", title: title }, props.value);
  };

  cells.Unread = function (props) {
    if (!props.data) return null;
    const [files, unread] = [props.value.split(", ")[0], props.data.unread];
    if (!unread) return files;
    return made()("span", null, files, ", ", made()("b", { className: "unread" }, unread + " unread"));
  };

  cells.FileName = function (props) {
    if (!props.data) return null;
    const choose = () => pages.chooseFile(props.data.id);
    return made()("button", { className: "link", title: props.data.full, onClick: choose, tabIndex: -1 }, props.value);
  };

  cells.Reading = function (props) {
    if (!props.data) return null;
    const title = props.data.rows_exact;
    if (props.data.share === null || props.data.share === undefined) return made()("span", { title }, props.value);
    return made()(
      "span",
      { className: "reading", title },
      props.value,
      made()("progress", { value: props.data.share, max: 1, "aria-label": "part that is counted" })
    );
  };

  const act = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

  /** Enter on a row opens what it is about. */
  act.larboardOpenRun = function (event) {
    if (event.event && event.event.key === "Enter" && event.data) pages.go(runAddress(event.data.key));
  };
  act.larboardOpenFile = function (event) {
    if (event.event && event.event.key === "Enter" && event.data) pages.chooseFile(event.data.id);
  };

  pages.chooseFile = function (id) {
    window.dash_clientside.set_props("file-chosen", { data: String(id) });
  };

  const ACTS = [["retry", "Read again"], ["ignore", "Ignore"], ["release", "Release"]];
  const DONE = { retry: "to be read again", ignore: "ignored", release: "released, to be read again" };

  /** Asks the API for each file: [ids that were done, sentences about the others]. */
  pages.actOnFiles = async function (act, ids, why) {
    const done = [], refused = [];
    const query = (why || "").trim() ? "?reason=" + encodeURIComponent(why.trim()) : "";
    for (const id of ids) {
      try {
        const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
        const answer = await fetch(pages.address(`/api/v1/files/${encodeURIComponent(id)}/${act}${query}`), options);
        if (answer.ok) done.push(id);
        else refused.push("Not done: " + (await answer.json()).detail);
      } catch {
        refused.push("Not done: the server does not answer. Try again.");
        break;
      }
    }
    return [done, refused];
  };

  document.addEventListener("keydown", (event) => {
    const detail = document.getElementById("file-detail");
    const writes = event.target.matches && event.target.matches("input, textarea, select");
    if (event.key === "Escape" && detail && !detail.hidden && !writes) pages.chooseFile("");
  });

  // -- callbacks ---------------------------------------------------------------------------------------------

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.lists = {
    /** Filters of the runs: into the URL and to the table. */
    runFilters: function (words, category, quality, since, until, before) {
      // a time of day that stood in the URL stays as long as its day does
      const whole = (name, day) => (day && before && (before[name] || "").startsWith(day) ? before[name] : day);
      return keep({
        search: (words || "").trim(), category: category, quality: quality,
        since: whole("since", since), until: whole("until", until),
      }, before);
    },

    clearRuns: function (above, below) {
      return above || (below || []).some(Boolean) ? ["", null, null, "", ""] : new Array(5).fill(skip());
    },

    fileFilters: function (words, states, run, before) {
      return keep({ search: (words || "").trim(), state: states || "", run: (run || "").trim() }, before);
    },

    clearFiles: function (above, below) {
      return above || (below || []).some(Boolean) ? ["", "", ""] : [skip(), skip(), skip()];
    },

    /** Other rows are asked for: the table begins anew, at its top. */
    again: function (asked, id) {
      withGrid(id, (api) => {
        api.purgeInfiniteCache();
        if (api.getDisplayedRowCount()) api.ensureIndexVisible(0);
      });
      return skip();
    },

    /** The rows that are there are asked for again; the place stays. */
    refresh: function () {
      const id = arguments[arguments.length - 1];
      withGrid(id, (api) => api.refreshInfiniteCache());
      return skip();
    },

    /** The order of the table stands in the URL. */
    order: function (request) {
      if (request) pages.setQuery({ order: order(request) });
      return skip();
    },

    /** The chosen file stands in the URL. */
    chosen: function (id) {
      pages.setQuery({ file: id || "" });
      return skip();
    },

    /** Asks the API, which knows who may; the file's row says the rest. */
    readAgain: async function (clicks, chosen) {
      if (!clicks.some(Boolean)) return "";
      try {
        const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
        const answer = await fetch(pages.address("/api/v1/files/" + encodeURIComponent(chosen) + "/retry"), options);
        if (answer.ok) return "It will be read again.";
        const problem = await answer.json();
        return "Not done: " + problem.detail;
      } catch {
        return "Not done: the server does not answer. Try again.";
      }
    },

    /** What can be done with the selected rows, with how many of them it can be done. */
    selected: function (rows) {
      const some = rows || [];
      const n = ACTS.map(([act]) => some.filter((row) => (row.can || []).includes(act)).length);
      const words = ACTS.map(([, word], i) => `${word} (${n[i]})`);
      return [!some.length, `${some.length} selected:`, ...words, ...n.map((count) => !count)];
    },

    /** One act on all selected rows that allow it; what was ignored can be released again at once. */
    actOnSome: async function () {
      const [rows, why, before, id] = Array.from(arguments).slice(-4);
      const trigger = window.dash_clientside.callback_context.triggered_id;
      if (!trigger) return [skip(), skip(), skip()];
      const undo = trigger === "files-undo";
      const act = undo ? "release" : String(trigger).replace("files-do-", "");
      const ids = undo ? before || [] : (rows || []).filter((row) => row.can.includes(act)).map((row) => row.id);
      const [done, refused] = await pages.actOnFiles(act, ids, undo ? "undone" : why);
      withGrid(id, (api) => api.deselectAll());
      const said = done.length ? `${done.length} ${done.length === 1 ? "file" : "files"} ${DONE[act]}.` : "";
      const again = act === "ignore" && done.length > 0;
      return [[said, ...refused.slice(0, 1)].filter(Boolean).join(" "), !again, again ? done : null];
    },

    /** Ignores or releases the file that is shown in detail. */
    actOnOne: async function (clicks, reasons) {
      const trigger = window.dash_clientside.callback_context.triggered_id;
      if (!trigger || !clicks.some(Boolean)) return skip();
      const [done, refused] = await pages.actOnFiles(trigger.act, [trigger.file], reasons[0]);
      return done.length ? `It is ${DONE[trigger.act]}.` : refused[0];
    },

    closeDetail: function (clicks) {
      return clicks.some(Boolean) ? "" : skip();
    },
  };

  function keep(asked, before) {
    const now = Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
    pages.setQuery(asked);
    return JSON.stringify(now) === JSON.stringify(before || {}) ? skip() : now;
  }

  const REST_MS = 5000;
  let fresh = 0, waiting = null;

  let shifted = false;
  for (const kind of ["pointerdown", "pointerup"]) window.addEventListener(kind, (event) => { shifted = event.shiftKey; }, true);

  window.dash_clientside.trends = {
    /** What is chosen: into the URL and to the picture. */
    choose: function (picked, span, since, until, zoom, before) {
      const names = (picked || []).flat();
      const query = { name: names.join(",") || "none", since: span, until: "", zoom: zoom || "" };
      if (span === "custom") {
        // a time of day that stood in the URL stays as long as its day does
        const had = new URLSearchParams(window.location.search);
        const whole = (name, day) => (day && (had.get(name) || "").startsWith(day) ? had.get(name) : day || "");
        Object.assign(query, { since: whole("since", since) || "custom", until: whole("until", until) });
      }
      const now = pages.setQuery(query);
      return now === before ? skip() : now;
    },

    /** Another range ends a zoom. */
    whole: function (clicks, span, since, until, before) {
      return before ? "" : skip();
    },

    all: function (clicks) {
      return clicks.some(Boolean) ? "all" : skip();
    },

    /** The run of a point; with Shift the packets of its file. */
    open: function (click) {
      const [run, , file] = (click && click.points && click.points[0] && click.points[0].customdata) || [];
      if (run) pages.go(shifted && file ? `${runAddress(run)}/rows?file=${file}` : runAddress(run));
      return skip();
    },

    /** At most one new picture in five seconds, however many files come. */
    fresh: function () {
      const show = () => {
        fresh = Date.now();
        waiting = null;
        if (document.getElementById("trend-picture")) window.dash_clientside.set_props("trend-fresh", { data: fresh });
      };
      const rest = fresh + REST_MS - Date.now();
      if (rest <= 0) show();
      else if (!waiting) waiting = window.setTimeout(show, rest);
      return skip();
    },

    /** The list shows what fits the words, and what is chosen. */
    search: function (words) {
      const wanted = (words || "").toLowerCase().split(/\s+/).filter(Boolean);
      let any = false;
      for (const group of document.querySelectorAll("#trend-picker .trend-group")) {
        let some = false;
        for (const choice of group.querySelectorAll(".dash-options-list-option")) {
          const words = choice.querySelector("[data-words]");
          const text = (group.dataset.words + " " + (words ? words.dataset.words : "")).toLowerCase();
          const fits = wanted.every((word) => text.includes(word));
          choice.hidden = !fits;
          some = some || fits;
        }
        group.hidden = !some;
        any = any || some;
      }
      return any ? "" : "No trend fits these words.";
    },

    /** Links may name each trend by itself (?name=A&name=B); the server was given the last one. */
    several: function (_there, picked, options) {
      const all = new URLSearchParams(window.location.search).getAll("name");
      if (all.length < 2) return picked.map(skip);
      const names = new Set(all.flatMap((name) => name.split(",")));
      return options.map((group) => group.map((option) => option.value).filter((name) => names.has(name)));
    },
  };
})();
