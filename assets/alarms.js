// Acknowledging an alarm of the monitor, by its button or by the key a.
(function () {
  "use strict";
  const address = (which) => `${document.getElementById("shell").dataset.base}api/v1/alarms/${encodeURIComponent(which)}/acknowledge`;

  async function acknowledge(button) {
    const said = button.parentElement.querySelector(".said-of-it");
    button.disabled = true;
    try {
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
      const answer = await fetch(address(button.dataset.acknowledge), options);
      if (answer.ok) return tell(said, "Noted.");
      const problem = await answer.json();
      tell(said, `Not done: ${problem.detail}`);
    } catch {
      tell(said, "Not done: the server does not answer. Try again.");
    }
    button.disabled = false;
    return undefined;
  }

  function tell(place, text) {
    if (place) place.textContent = ` ${text}`;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button[data-acknowledge]");
    if (button && !button.disabled) acknowledge(button);
  });

  // a: to the first alarm that nobody has seen; once there, a again acknowledges it
  document.addEventListener("keydown", (event) => {
    if (event.key !== "a" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches && event.target.matches("input, textarea, select, [contenteditable]")) return;
    const active = document.activeElement;
    if (active && active.dataset && active.dataset.acknowledge) return void active.click();
    const first = document.querySelector("#content button[data-acknowledge]:not(:disabled, [aria-disabled])");
    if (first) { first.focus({ preventScroll: true }); first.scrollIntoView({ block: "nearest" }); }
  });
})();
