// Without a network it answers with what it kept of the page: the files that files.js lists, each under its hash.
importScripts("files.js");

const HOME = self.registration.scope;
const CACHE = `dmformer ${HOME}`;
const LATER = "golden/"; // The self-test's samples are kept when it is opened.

const address = (path) => HOME + path.split("/").map(encodeURIComponent).join("/");
const key = (path) => `${address(path)}?${encodeURIComponent(FILES[path])}`;

/** The file that an address asks for, or undefined where it is none of ours. */
function asked(url) {
  if (!url.startsWith(HOME)) return undefined;
  const path = decodeURIComponent(url.slice(HOME.length).replace(/[?#].*/s, "")) || "index.html";
  return Object.hasOwn(FILES, path) ? path : undefined;
}

async function keep(path) {
  const cache = await caches.open(CACHE);
  if (await cache.match(key(path))) return;
  const answer = await fetch(address(path), { cache: "no-cache", integrity: FILES[path] });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  // Browsers take no page that was redirected: made anew, it no longer says so.
  await cache.put(key(path), new Response(answer.body, answer));
}

async function keepAll() {
  await Promise.all(Object.keys(FILES).filter((path) => !path.startsWith(LATER)).map(keep));
  await self.skipWaiting();
}

async function dropOthers() {
  const cache = await caches.open(CACHE);
  const keys = new Set(Object.keys(FILES).map(key));
  const old = (await cache.keys()).filter(({ url }) => !keys.has(url));
  await Promise.all([...old.map((request) => cache.delete(request)), self.clients.claim()]);
}

addEventListener("install", (event) => event.waitUntil(keepAll()));
addEventListener("activate", (event) => event.waitUntil(dropOthers()));
addEventListener("fetch", (event) => {
  const path = asked(event.request.url);
  if (path === undefined) return;
  // The network comes first, so that nobody is shown an old version while there is a server.
  event.respondWith(fetch(event.request).catch(async () => (await caches.open(CACHE)).match(key(path))));
  if (path.startsWith(LATER)) event.waitUntil(keep(path).catch(() => {}));
});
