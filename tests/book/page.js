// Mounts the steppers of a page of the book on their steps, which are in the page. What comes before
// this is stepper.js and what it imports, so mount() is here.
const dark = matchMedia("(prefers-color-scheme: dark)");
const themed = () => { document.body.dataset.jpThemeLight = String(!dark.matches); };
dark.addEventListener("change", themed);
themed();
for (const place of document.querySelectorAll(".mm-mount")) {
  const data = JSON.parse(place.querySelector("script").textContent);
  place.replaceChildren();
  mount(place, data);
}
