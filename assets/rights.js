// Buttons that the person who looks may not press: they say which role is needed. The server asks all the same.
(function () {
  "use strict";
  const larboard = (window.larboard = window.larboard || {});
  const REFUSED = '[data-needs][aria-disabled="true"]';

  /** Why the person may not do what needs a role, as an expert of one subsystem or ("*") of all; empty when he may. */
  larboard.refused = (needs, of) => {
    const { roles, role, expertOf, person } = document.getElementById("shell").dataset;
    const order = roles.split(" ");
    const theirs = (expertOf || "").split(" ");
    // of which subsystem is not known before the server looks: whoever is an expert of any is let try
    const ofIt = role !== "expert" || needs !== "expert" || !of || theirs.includes("*") || theirs.includes(of);
    if (order.indexOf(role) >= order.indexOf(needs) && ofIt) return "";
    const what = !of || needs !== "expert" ? "" : of === "*" ? " of everything" : ` of ${of}`;
    return `This needs the role ${needs}${what}; ${person}.`;
  };

  function mark(button) {
    const why = larboard.refused(button.dataset.needs, button.dataset.needsOf);
    if (!why) {
      if (button.hasAttribute("aria-disabled")) for (const name of ["aria-disabled", "title"]) button.removeAttribute(name);
      return;
    }
    if (button.getAttribute("aria-disabled") !== "true") button.setAttribute("aria-disabled", "true");
    if (button.title !== why) button.title = why;
  }

  const look = () => document.querySelectorAll("#content [data-needs]").forEach(mark);

  // before anybody else hears of it
  for (const kind of ["click", "keydown"]) {
    window.addEventListener(kind, (event) => {
      if (kind === "keydown" && event.key !== "Enter" && event.key !== " ") return;
      if (!event.target.closest || !event.target.closest(REFUSED)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    }, true);
  }

  larboard.whenShell(() => {
    look();
    const told = ["data-needs", "data-needs-of", "title"];
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: told });
  });
})();
