// The page: an image under the colours of its classes, what each covers, and the times.
import { overlay, sharesOf } from "./maps.js";
import { element, page, showTimes, start } from "./page.js";
import { LABELS, PALETTE } from "./parameters.js";
import { Pixels } from "./pixels.js";
import { Segmenter } from "./segmenter.js";

const DRAWN_PIXELS = 4_000_000; // A canvas of more is slow, and on some devices none.
const drawn = { image: null, classes: null };

/** Every so many-th pixel, so that few enough are left. */
function reduced(image, classes) {
  const step = Math.ceil(Math.sqrt((image.width * image.height) / DRAWN_PIXELS));
  if (step <= 1) return { image, classes };
  const small = new Pixels(Math.ceil(image.width / step), Math.ceil(image.height / step), 3);
  const kept = new classes.constructor(small.width * small.height);
  for (let at = 0; at < kept.length; ++at) {
    const from = Math.floor(at / small.width) * step * image.width + (at % small.width) * step;
    kept[at] = classes[from];
    small.data.set(image.data.subarray(3 * from, 3 * from + 3), 3 * at);
  }
  return { image: small, classes: kept };
}

function draw() {
  const { width, height, data } = overlay(drawn.image, drawn.classes, Number(page.opacity.value));
  Object.assign(page.picture, { width, height });
  page.picture.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(data.buffer), width, height), 0, 0);
}

function legendItem({ index, label, share }) {
  const item = document.createElement("li");
  const name = element("span", label, "label");
  const swatch = element("span", "", "swatch");
  swatch.style.setProperty("background-color", `rgb(${PALETTE[index].join(" ")})`);
  name.prepend(swatch);
  item.style.setProperty("--share", share);
  item.append(name, element("span", `${(100 * share).toFixed(1)} %`, "share"));
  return item;
}

async function show(segmenter, file) {
  const { image, classes, milliseconds } = await segmenter.segment(file);
  Object.assign(drawn, reduced(image, classes));
  draw();
  page.picture.setAttribute("aria-label", `The classes of ${file.name}`);
  page.view.hidden = false;
  const shares = sharesOf(classes);
  page.classes.replaceChildren(...shares.map(legendItem));
  showTimes(milliseconds);
  const [{ label, share }] = shares;
  return `${label} covers ${(100 * share).toFixed(1)} %, in ${milliseconds.engine.toFixed(1)} ms`;
}

page.opacity.addEventListener("input", draw);
start({
  about: `${LABELS.length} classes for every pixel`,
  open: Segmenter.open,
  show,
  clear: () => {
    page.view.hidden = true;
  },
});
