// Signing in and out as a page sees it, and the filters of the audit trail.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const pages = (window.larboardPages = window.larboardPages || {});
  const skip = () => window.dash_clientside.no_update;

  // ---- what the server refuses is said, whatever asked for it

  function say(words, link) {
    const place = document.getElementById("refusal");
    if (!place || place.textContent.startsWith(words)) return;
    const mark = document.createElement("span");
    mark.className = "mark suspect";
    const text = document.createElement("span");
    text.textContent = `${words} `;
    const close = document.createElement("button");
    close.textContent = "Close";
    close.addEventListener("click", () => place.replaceChildren());
    place.replaceChildren(mark, text, ...(link ? [link] : []), close);
  }

  larboard.signedOut = () => {
    const link = document.createElement("a");
    link.className = "button to-sign-in";
    link.href = pages.address("/sign-in");
    link.textContent = "Sign in";
    say("You are not signed in any more, or this needs a sign-in. What you see may be old.", link);
  };

  const plain = window.fetch;
  window.fetch = async function (...asked) {
    const answer = await plain.apply(this, asked);
    if (answer.status !== 401 && answer.status !== 403) return answer;
    if (answer.status === 401) larboard.signedOut();
    else answer.clone().json().then((problem) => say(`Not done: ${problem.detail}`), () => say("Not done: it was refused."));
    // Dash would take it for a failure of the callback: for it nothing has changed
    const callback = answer.url.includes("_dash-update-component");
    return callback ? new Response(null, { status: 204 }) : answer;
  };

  // one comes back to where one was
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a.to-sign-in");
    if (!link) return;
    const target = new URL(link.href);
    target.searchParams.set("next", location.pathname + location.search);
    link.href = target.href;
  }, true);

  // ---- the audit trail

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.people = {
    auditFilters: function (words, who, what, since, until, before) {
      const asked = { search: (words || "").trim(), who: who, what: what, since: since, until: until };
      const now = Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
      pages.setQuery(asked);
      return JSON.stringify(now) === JSON.stringify(before || {}) ? skip() : now;
    },

    clearAudit: function (clicks) {
      return clicks ? ["", null, null, "", ""] : new Array(5).fill(skip());
    },
  };
})();
