// One key goes on, since a presenter's remote has no more: to what does not fit on the screen, then
// to the answer, then to the next slide.  All else is the browser's.
function goOn(slides, now) {
  const slide = slides[now], folded = slide.querySelector(":scope > details:not([open])");
  const cut = [...slide.querySelectorAll("h1, h2, h3, p, pre, img, li, tr, summary, figcaption")]
    .find(one => one.checkVisibility() && one.getBoundingClientRect().bottom > innerHeight + 4);
  if (cut) show(slide, cut);
  else if (folded) { folded.open = true; if (isCut(slide)) show(slide, folded); }
  else slides[now + 1]?.scrollIntoView();
}
const isCut = one => one.getBoundingClientRect().bottom > innerHeight + 40;
function show(slide, one) {           // at the top of the screen, without the slide that follows
  const top = one.getBoundingClientRect().top;
  const below = slide.getBoundingClientRect().bottom - innerHeight;
  scrollBy(0, Math.min(top > 40 ? top - 16 : innerHeight * .8, below));
}
function goBack(slides, now) {
  const begun = slides[now].getBoundingClientRect().top < -8;
  slides[Math.max(begun ? now : now - 1, 0)].scrollIntoView();
}
document.addEventListener("keydown", event => {
  const go = {ArrowRight: goOn, PageDown: goOn, ArrowLeft: goBack, PageUp: goBack}[event.key];
  if (!go || event.ctrlKey || event.altKey || event.metaKey) return;
  const slides = [...document.querySelectorAll("section")];
  const now = slides.findLastIndex(slide => slide.getBoundingClientRect().top < 8);
  event.preventDefault();
  go(slides, Math.max(now, 0));
});
