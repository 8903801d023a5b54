// The page: an image comes in by a dialog, a drop or the clipboard; the classes and the times go out.
import { Classifier } from "./classifier.js";
import { LABELS, NAME, PRECISION, TITLE } from "./parameters.js";

const SHOWN = 5;
const page = Object.fromEntries(
  ["title", "model", "drop", "preview", "file", "progress", "status", "error", "empty", "classes", "times"].map((id) => [
    id,
    document.getElementById(id),
  ]),
);

function element(name, text, type = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = type;
  return made;
}

function show(guesses, milliseconds) {
  page.classes.replaceChildren(
    ...guesses.slice(0, SHOWN).map(({ label, probability }) => {
      const item = document.createElement("li");
      item.style.setProperty("--share", probability);
      item.append(element("span", label, "label"), element("span", `${(100 * probability).toFixed(1)} %`, "share"));
      return item;
    }),
  );
  page.times.replaceChildren(
    ...Object.entries(milliseconds).flatMap(([step, time]) => [
      element("dt", step),
      element("dd", `${time.toFixed(1)} ms`),
    ]),
  );
  page.times.hidden = false;
  page.empty.hidden = true;
}

function preview(file) {
  URL.revokeObjectURL(page.preview.src);
  page.preview.src = URL.createObjectURL(file);
  page.preview.alt = `The image ${file.name}`;
  page.preview.hidden = false;
}

function clear() {
  page.error.textContent = "";
  page.preview.hidden = page.times.hidden = true;
  page.empty.hidden = false;
  page.classes.replaceChildren();
}

async function classify(classifier, file) {
  page.status.textContent = `Reading ${file.name}`;
  clear();
  try {
    const { guesses, milliseconds } = await classifier.classify(file);
    preview(file);
    show(guesses, milliseconds);
    const [{ label, probability }] = guesses;
    const answer = `${file.name}: ${label}, ${(100 * probability).toFixed(1)} %`;
    page.status.textContent = `${answer}, in ${milliseconds.engine.toFixed(1)} ms`;
  } catch (error) {
    page.status.textContent = "";
    page.error.textContent = error.message;
  }
}

/** Where images come from; one after the other, so that the last one given is the one that is shown. */
function listen(classifier) {
  let last = Promise.resolve();
  const take = (file) => {
    if (file) last = last.then(() => classify(classifier, file));
  };
  page.file.addEventListener("change", () => {
    take(page.file.files[0]);
    // The same file again is a change too.
    page.file.value = "";
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  document.addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
}

/** A drop beside the field must not make the browser leave the page. */
function allowDrops() {
  const over = (inside) => (event) => {
    event.preventDefault();
    page.drop.classList.toggle("over", inside);
  };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", over(false));
}

/** For use without a network: browsers allow it where the page comes by HTTPS or from localhost. */
function keepOffline() {
  return navigator.serviceWorker?.register("service-worker.js").catch(() => {});
}

async function main() {
  document.title = page.title.textContent = TITLE;
  page.model.textContent = `${NAME}, ${PRECISION}, ${LABELS.length} classes`;
  page.status.textContent = "Loading the engine";
  allowDrops();
  const progress = (share) => {
    page.progress.value = share;
  };
  const classifier = await Classifier.open({ progress });
  page.progress.hidden = true;
  page.file.disabled = false;
  listen(classifier);
  page.status.textContent = "Ready";
}

main()
  .catch((error) => {
    page.progress.hidden = true;
    page.status.textContent = "";
    page.error.textContent = error.message;
  })
  .finally(keepOffline);
