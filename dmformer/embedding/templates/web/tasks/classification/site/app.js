// The page: the likeliest classes of an image, and the times.
import { Classifier } from "./classifier.js";
import { element, page, showTimes, start } from "./page.js";
import { LABELS } from "./parameters.js";

const SHOWN = 5;

function showClasses(guesses) {
  page.classes.replaceChildren(
    ...guesses.slice(0, SHOWN).map(({ label, probability }) => {
      const item = document.createElement("li");
      item.style.setProperty("--share", probability);
      item.append(element("span", label, "label"), element("span", `${(100 * probability).toFixed(1)} %`, "share"));
      return item;
    }),
  );
}

function preview(file) {
  URL.revokeObjectURL(page.preview.src);
  page.preview.src = URL.createObjectURL(file);
  page.preview.alt = `The image ${file.name}`;
  page.preview.hidden = false;
}

async function show(classifier, file) {
  const { guesses, milliseconds } = await classifier.classify(file);
  preview(file);
  showClasses(guesses);
  showTimes(milliseconds);
  const [{ label, probability }] = guesses;
  return `${label}, ${(100 * probability).toFixed(1)} %, in ${milliseconds.engine.toFixed(1)} ms`;
}

start({
  about: `${LABELS.length} classes`,
  open: Classifier.open,
  show,
  clear: () => {
    page.preview.hidden = true;
  },
});
