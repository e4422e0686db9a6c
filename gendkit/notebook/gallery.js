// Draws the cards that are in view, and asks Python for those that come into view.

const AT_ONCE = 36;

function card(told, picture, pick) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "gendkit-card";
  button.dataset.sample = told.sample;
  button.title = [told.title, ...told.lines, told.sample, told.reason].filter(Boolean).join("\n");
  if (told.colour) button.style.setProperty("--colour", told.colour);
  const tile = document.createElement(picture ? "img" : "span");
  tile.className = "gendkit-tile";
  if (picture) {
    tile.src = picture;
    tile.alt = "";
  } else {
    tile.textContent = told.reason;
  }
  const words = document.createElement("span");
  words.className = "gendkit-words";
  for (const [i, line] of [told.title, ...told.lines].entries()) {
    const span = document.createElement("span");
    span.className = i ? "gendkit-line" : "gendkit-title";
    span.textContent = line;
    words.append(span);
  }
  button.append(tile, words);
  button.addEventListener("click", () => pick(told.sample));
  return button;
}

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2);
  const list = document.createElement("div");
  const end = document.createElement("div");
  let asked = 0;
  let here = 0;
  let urls = [];

  const forget = () => {
    urls.forEach(URL.revokeObjectURL);
    urls = [];
  };
  const mark = () => {
    for (const button of list.querySelectorAll(".gendkit-card")) {
      button.setAttribute("aria-current", String(button.dataset.sample === model.get("current")));
    }
  };
  const more = () => {
    if (asked > here || here >= model.get("count")) return;
    asked = Math.min(here + AT_ONCE, model.get("count"));
    const version = model.get("version");
    model.send({ kind: "cards", view, version, start: here, stop: asked });
  };
  const sentinel = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) more();
  }, { root: null, rootMargin: "200px" });

  const start = () => {
    forget();
    list.replaceChildren(end);
    list.className = `gendkit-gallery gendkit-${model.get("form")}`;
    list.style.setProperty("--columns", Math.max(1, model.get("count")));
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", model.get("label"));
    list.scrollTop = 0;
    asked = here = 0;
    sentinel.unobserve(end);
    sentinel.observe(end);
  };
  const receive = (message, buffers) => {
    const stale = message.view !== view || message.version !== model.get("version");
    if (message.kind !== "cards" || stale || message.start !== here) return;
    let next = 0;
    for (const told of message.cards) {
      let picture = null;
      if (told.jpeg) {
        const bytes = buffers[next++];
        picture = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
        urls.push(picture);
      }
      list.insertBefore(card(told, picture, (sample) => model.send({ kind: "pick", sample })), end);
    }
    here += message.cards.length;
    asked = here;
    mark();
    // If the end is still in view, the observer says so once more.
    sentinel.unobserve(end);
    sentinel.observe(end);
  };

  end.className = "gendkit-end";
  el.append(list);
  model.on("change:version", start);
  model.on("change:label", () => list.setAttribute("aria-label", model.get("label")));
  model.on("change:current", mark);
  model.on("msg:custom", receive);
  start();
  return () => {
    sentinel.disconnect();
    model.off("change:version", start);
    model.off("change:current", mark);
    model.off("msg:custom", receive);
    forget();
  };
}

export default { render };
