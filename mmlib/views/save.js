// The picture as a file: SVG, PNG, and DOT with every box pinned (neato -n2 draws it).

// What is there, by itself, in the light colours of *style*, on white.
export function stillSvg(svg, style) {
  const copy = svg.cloneNode(true);
  for (const one of copy.querySelectorAll(".n:not(.on), .e:not(.on), .n:not(.shared) > .again, .n:not(.diff) > .differs")) one.remove();
  for (const one of copy.querySelectorAll("[tabindex], [data-lm-suppress-shortcuts], [aria-hidden]")) {
    for (const name of ["tabindex", "data-lm-suppress-shortcuts", "aria-hidden"]) one.removeAttribute(name);
  }
  const sheet = document.createElementNS("http://www.w3.org/2000/svg", "style");
  sheet.textContent = style;
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["style", "fill:#fff;stroke:none"]]) {
    paper.setAttribute(name, value);
  }
  copy.prepend(sheet, paper);
  copy.removeAttribute("role");
  return new XMLSerializer().serializeToString(copy);
}

export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);           // or some browsers do nothing
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Twice the size on the page, for sharp text on a slide.
export async function png(svg, style, scale = 2) {
  const { width, height } = svg.viewBox.baseVal, image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(stillSvg(svg, style))}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

// DOT counts upwards, and in points: three quarters of a pixel.
const points = (pixels) => +(pixels * 0.75).toFixed(2);
const quote = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
const html = (text) => text.replace(/[&<>"\\]/g, (c) => `&#${c.charCodeAt(0)};`) || " ";

export function dot(svg) {
  const { width, height } = svg.viewBox.baseVal;
  const out = ["digraph {", `  graph [bgcolor=white splines=true outputorder=edgesfirst bb="0,0,${points(width)},${points(height)}"]`,
    "  node [shape=plain fontname=Helvetica fontsize=8]", "  edge [arrowsize=0.45]"];
  for (const node of svg.querySelectorAll(".n.on")) {
    const [x, y] = node.getAttribute("transform").match(/[-\d.]+/g).map(Number);
    const box = node.querySelector(":scope > .box"), [w, h] = ["width", "height"].map((a) => Number(box.getAttribute(a)));
    out.push(`  ${quote(node.dataset.id)} [pos="${points(x + w / 2)},${points(height - y - h / 2)}" label=<${label(node, w, h)}>]`);
  }
  for (const edge of svg.querySelectorAll(".e.on")) {
    const [x0, y0, x1, y1, x2, y2, x, y] = edge.getAttribute("d").match(/-?[\d.]+/g).map(Number);
    const spline = [[x0, y0], [x1, y1], [x2, y2 - 6], [x, y - 6]].map(([a, b]) => `${points(a)},${points(height - b)}`).join(" ");
    const [from, to] = edge.dataset.id.split(">");
    out.push(`  ${quote(from.replace(/\.\w+$/, ""))} -> ${quote(to)} [pos="e,${points(x)},${points(height - y)} ${spline}"`
      + `${edge.classList.contains("walk") ? " penwidth=2.2" : ""}]`);
  }
  return [...out, "}"].join("\n") + "\n";
}

// A box as an HTML-like table of fixed size, so that no font moves anything.
function label(node, w, h) {
  const cell = (width, height, text, more = "") =>
    `<td fixedsize="TRUE" width="${points(width)}" height="${points(height)}"${more}>${text}</td>`;
  const head = [".head, .name", ".many"].map((q) => node.querySelector(q)?.textContent ?? "").join(" ").trim();
  const cells = [...node.querySelectorAll(".cell, .data")];
  const top = cells.length ? h / 2 : h, border = node.classList.contains("shared") && cells.length > 1 ? 3 : 1;
  const below = cells.length ? `<tr>${cells.map((one) => cell(w / cells.length, h / 2, html(one.textContent),
    one.classList.contains("walk") ? ' bgcolor="#F5E642"' : "")).join("")}</tr>` : "";
  return `<table border="${border}" cellborder="${cells.length > 1 ? 1 : 0}" cellspacing="0" cellpadding="0" bgcolor="white">`
    + `<tr>${cell(w, top, `<b>${html(head)}</b>`, cells.length > 1 ? ` colspan="${cells.length}"` : "")}</tr>${below}</table>`;
}
