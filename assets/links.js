// Links and forms are written from the root of the site. Behind a proxy the site has a prefix, which they get here.
(function () {
  "use strict";
  const base = document.documentElement.dataset.base || "/";
  if (base === "/") return;
  const WRITTEN = 'a[href^="/"], form[action^="/"]';

  function move(node) {
    const name = node.localName === "form" ? "action" : "href";
    const path = node.getAttribute(name);
    if (!path.startsWith("//") && !path.startsWith(base)) node.setAttribute(name, base + path.slice(1));
  }

  function within(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (node.matches(WRITTEN)) move(node);
    node.querySelectorAll(WRITTEN).forEach(move);
  }

  // before anything is painted: nobody sees or follows a link that has not moved
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "attributes") { if (target.matches(WRITTEN)) move(target); } else addedNodes.forEach(within);
    }
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["href", "action"] });
})();
