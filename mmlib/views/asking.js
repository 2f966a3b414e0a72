// A question before a step is shown. It is answered or skipped; a quiet tally counts.
import { button, make, QUIET } from "./dom.js";
import { grade } from "./pure.js";

// *say* is where it stands, *pic* the picture that is clicked; *show(k, verdict)* shows the step.
export function asking(say, score, pic, steps, show) {
  const asked = new Set(), tally = { right: 0, of: 0 };
  let pending = null;                   // the step that waits for an answer
  if (steps.some((step) => step.ask)) count();

  function count() {
    score.textContent = `${tally.right} of ${tally.of} predicted`;
    score.style.visibility = tally.of ? "" : "hidden";         // its room is there from the first step
  }

  // Forward by one onto a step with a question: true if it is asked now. A second press is "skip".
  function stops(k) {
    const waiting = pending === k;
    if (waiting) asked.add(k);
    if (waiting || pending !== null || !steps[k].ask || asked.has(k)) return pending = null, false;
    ask(k, steps[k].ask);
    return true;
  }

  function ask(k, question) {
    pending = k;
    const buttons = question.choices.map((choice) => button(choice, choice, () => answer(choice)));
    const number = !question.choices.length && !question.pick;
    const input = make("input", { type: "number", "aria-label": question.text, ...QUIET });
    input.addEventListener("keydown", (e) => { if (e.key === "Enter") answer(input.value); });
    if (number) buttons.push(input, button("Answer", "Answer", () => answer(input.value)));
    if (question.pick) buttons.unshift("Click it; or press Enter, go by arrow keys, Enter.");
    say.replaceChildren(
      make("p", { class: "action" }, "Next: ", make("code", {}, steps[k].action)),
      make("p", {}, question.text),
      make("div", { class: "mm-ask", role: "group", "aria-label": question.text }, ...buttons, button("Skip", "Skip the question", () => { asked.add(k); pending = null; show(k); })));
    (number ? input : question.pick ? pic.box : buttons[0]).focus({ preventScroll: true });
  }

  function answer(given) {
    const k = pending, question = steps[k].ask, right = grade(question, given);
    if (right === null) return;
    asked.add(k);
    pending = null;
    tally.of += 1;
    tally.right += right;
    count();
    show(k, make("p", {}, make("span", { class: right ? "mm-good" : "mm-bad" },
      right ? "Right: " : `Not ${pic.name(given) ?? given}: `), question.reason));
  }

  // A table was clicked: true if that was the answer to a question.
  function pick(id) {
    if (pending === null || !steps[pending].ask.pick) return false;
    answer(id);
    return true;
  }
  return { stops, pick, drop: () => { pending = null; }, get pending() { return pending; } };
}
