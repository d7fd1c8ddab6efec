"use strict";
// A link to a set that is closed opens it, and paper shows every set.
function openTarget() {
  const set = document.getElementById(location.hash.slice(1))?.querySelector("details.set");
  if (set) set.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
addEventListener("beforeprint", () => {
  for (const set of document.querySelectorAll("details.set")) set.open = true;
});
