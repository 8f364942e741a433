// Brings a part of a page up to date with its tree, touching only what differs: layouts/components/steady.py says why.
(function () {
  "use strict";
  const given = new WeakMap(); // element -> the attributes that its tree gave it: others belong to the browser

  const keyOf = (node) => (Array.isArray(node) ? node[1].id || "" : "");
  // what stands in them is made by figures.js, pixels.js, times.js and masks.js
  const OWN = ["data-figure", "data-pixels", "data-unix", "data-own"];
  const isOwn = (attributes) => OWN.some((name) => name in attributes);

  function make(node) {
    if (!Array.isArray(node)) return document.createTextNode(node);
    const element = document.createElement(node[0]);
    update(element, node);
    return element;
  }

  function update(element, [, attributes, children]) {
    const before = given.get(element) || {};
    for (const name of Object.keys(before)) if (!(name in attributes)) element.removeAttribute(name);
    for (const [name, value] of Object.entries(attributes)) if (before[name] !== value) element.setAttribute(name, value);
    given.set(element, attributes);
    if (!isOwn(attributes)) patch(element, children);
  }

  const fits = (there, node) => Array.isArray(node)
    ? there.nodeType === Node.ELEMENT_NODE && there.localName === node[0] && there.id === keyOf(node)
    : there.nodeType === Node.TEXT_NODE;

  function patch(parent, nodes) {
    const left = [...parent.childNodes];
    const named = new Map(left.filter((there) => there.id).map((there) => [there.id, there]));
    let place = parent.firstChild;
    for (const node of nodes) {
      const key = keyOf(node);
      let there = key ? named.get(key) : left.find((one) => fits(one, node));
      if (there && !fits(there, node)) there = undefined;
      if (there) {
        left.splice(left.indexOf(there), 1);
        if (there.nodeType === Node.TEXT_NODE) { if (there.data !== node) there.data = node; } else update(there, node);
      } else there = make(node);
      if (there === place) place = place.nextSibling;
      else parent.insertBefore(there, place);
    }
    left.forEach((there) => there.remove());
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside);
  window.dash_clientside.larboard = Object.assign({}, window.dash_clientside.larboard, {
    steady(tree, treeId) {
      const part = document.getElementById(treeId.replace(/-tree$/, ""));
      const active = document.activeElement;
      if (part) patch(part, tree || []);
      // what moves loses the keyboard
      if (active && active !== document.activeElement && active.isConnected) active.focus({ preventScroll: true });
      return window.dash_clientside.no_update;
    },
  });
})();
