// Faces beside a chart: messages with PNG files in buffers enter, pictures with a caption leave.
// Nothing is kept in the widget's state, so that no face gets into a notebook's file.

const STYLE = `
  :host { display: block; color: var(--jp-ui-font-color1, var(--vscode-editor-foreground)); }
  div { display: flex; flex-direction: column; gap: 12px; font: 12px/1.35 var(--jp-ui-font-family, sans-serif); }
  figure { margin: 0; }
  canvas, .none { display: block; width: 112px; height: 112px; border-radius: 4px; object-fit: contain;
    background: color-mix(in srgb, currentColor 8%, transparent); }
  .none { display: grid; place-items: center; padding: 8px; box-sizing: border-box; text-align: center; }
  figcaption { margin-top: 4px; max-width: 150px; overflow-wrap: anywhere; }
  p { margin: 0; }
  p.first { font-weight: 600; }
`;

function text(name, words, kind) {
  const element = document.createElement(name);
  element.textContent = words;
  if (kind) element.className = kind;
  return element;
}

async function picture(face, buffer) {
  if (!buffer) return text("span", face.missing, "none");
  const canvas = document.createElement("canvas");
  const bitmap = await createImageBitmap(new Blob([buffer], { type: "image/png" }));
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `face: ${face.lines.join(", ")}`);
  return canvas;
}

function render({ model, el }) {
  const root = el.attachShadow({ mode: "open" });
  const list = document.createElement("div");
  list.setAttribute("aria-live", "polite");
  list.append(text("p", "Faces are shown while the kernel runs."));
  root.append(text("style", STYLE), list);

  let newest = 0; // a picture that is decoded late must not replace a later one
  const show = async (message, buffers) => {
    const own = ++newest;
    const figures = await Promise.all(
      message.faces.map(async (face) => {
        const figure = document.createElement("figure");
        const caption = document.createElement("figcaption");
        caption.append(...face.lines.map((line, i) => text("p", line, i ? "" : "first")));
        figure.append(await picture(face, face.image === null ? null : buffers[face.image]), caption);
        return figure;
      }),
    );
    if (own === newest) list.replaceChildren(...figures);
  };
  model.on("msg:custom", show);
  model.send({ ask: "faces" });
  return () => model.off("msg:custom", show);
}

export default { render };
