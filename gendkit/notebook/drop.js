// A place to drop a file: it goes to Python in pieces, one at a time, and never into the widget's
// state. Messages with `ask` come from Python: the number of the next piece, or "wait", "ready".

const PIECE = 1 << 20;
const STYLE = `
  :host { display: block; color: var(--jp-ui-font-color1, #222); }
  label { display: grid; place-items: center; gap: 4px; padding: 28px 16px; text-align: center;
    border: 2px dashed color-mix(in srgb, currentColor 35%, transparent); border-radius: 8px;
    cursor: pointer; font: 14px/1.4 var(--jp-ui-font-family, sans-serif); }
  label.over { border-style: solid; background: color-mix(in srgb, currentColor 6%, transparent); }
  label.busy { cursor: progress; opacity: 0.7; }
  label:focus-within { outline: 2px solid #0b6b8f; outline-offset: 2px; }
  strong { font-weight: 600; }
  span { font-size: 12px; opacity: 0.8; overflow-wrap: anywhere; }
  input { position: absolute; width: 1px; height: 1px; opacity: 0; }
  progress { width: min(320px, 90%); }
`;

function element(name, words) {
  const made = document.createElement(name);
  made.textContent = words ?? "";
  return made;
}

function render({ model, el }) {
  const root = el.attachShadow({ mode: "open" });
  const label = element("label");
  const title = element("strong", "Drop a picture or video here, or choose one");
  const detail = element("span", "It stays on this machine.");
  const bar = element("progress");
  const input = element("input");
  input.type = "file";
  bar.hidden = true;
  detail.setAttribute("role", "status");
  label.append(title, detail, bar, input);
  root.append(element("style", STYLE), label);

  let file = null;
  const busy = () => label.classList.contains("busy");
  const begin = (chosen) => {
    if (!chosen || busy()) return;
    file = chosen;
    label.classList.add("busy");
    bar.hidden = false;
    bar.value = 0;
    detail.textContent = file.name;
    model.send({ begin: file.name, bytes: file.size });
  };
  const piece = async (number) => {
    const start = number * PIECE;
    const data = await file.slice(start, start + PIECE).arrayBuffer();
    bar.value = file.size ? Math.min(1, (start + data.byteLength) / file.size) : 1;
    const last = start + data.byteLength >= file.size;
    model.send({ piece: number, last }, undefined, [data]);
  };
  const answer = (message) => {
    if (message.ask === "piece" && file) piece(message.number);
    if (message.ask === "wait") bar.removeAttribute("value");
    if (message.ask === "ready") {
      file = null;
      label.classList.remove("busy");
      bar.hidden = true;
    }
    if (message.words) detail.textContent = message.words;
  };

  input.addEventListener("change", () => {
    begin(input.files[0]);
    input.value = "";
  });
  label.addEventListener("dragover", (event) => {
    event.preventDefault();
    label.classList.add("over");
  });
  label.addEventListener("dragleave", () => label.classList.remove("over"));
  label.addEventListener("drop", (event) => {
    event.preventDefault();
    label.classList.remove("over");
    begin(event.dataTransfer.files[0]);
  });
  model.on("msg:custom", answer);
  return () => model.off("msg:custom", answer);
}

export default { render };
