// What every page does: an image comes in by a dialog, a drop or the clipboard, and errors are told.
import { NAME, PRECISION, TITLE } from "./parameters.js";

/** The elements of the document by their ids. */
export const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

export function element(name, text, type = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = type;
  return made;
}

export function showTimes(milliseconds) {
  page.times.replaceChildren(
    ...Object.entries(milliseconds).flatMap(([step, time]) => [
      element("dt", step),
      element("dd", `${time.toFixed(1)} ms`),
    ]),
  );
  page.times.hidden = false;
  page.empty.hidden = true;
}

function clear(own) {
  page.error.textContent = "";
  page.times.hidden = true;
  page.empty.hidden = false;
  page.classes.replaceChildren();
  own();
}

async function tell({ show, clear: own }, tool, file) {
  page.status.textContent = `Reading ${file.name}`;
  clear(own);
  try {
    page.status.textContent = `${file.name}: ${await show(tool, file)}`;
  } catch (error) {
    page.status.textContent = "";
    page.error.textContent = error.message;
  }
}

/** Where images come from; one after the other, so that the last one given is the one that is shown. */
function listen(parts, tool) {
  let last = Promise.resolve();
  const take = (file) => {
    if (file) last = last.then(() => tell(parts, tool, file));
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

async function main(parts) {
  document.title = page.title.textContent = TITLE;
  page.model.textContent = `${NAME}, ${PRECISION}, ${parts.about}`;
  page.status.textContent = "Loading the engine";
  allowDrops();
  const progress = (share) => {
    page.progress.value = share;
  };
  const tool = await parts.open({ progress });
  page.progress.hidden = true;
  page.file.disabled = false;
  listen(parts, tool);
  page.status.textContent = "Ready";
}

/**
 * @param {object} parts What differs from task to task.
 * @param {string} parts.about The model, in a few words.
 * @param {(options: object) => Promise<object>} parts.open Loads the engine.
 * @param {(tool: object, file: File) => Promise<string>} parts.show Shows the answer; gives it in a line.
 * @param {() => void} parts.clear Takes the last answer away.
 */
export function start(parts) {
  main(parts)
    .catch((error) => {
      page.progress.hidden = true;
      page.status.textContent = "";
      page.error.textContent = error.message;
    })
    .finally(keepOffline);
}
