// Pictures: unpacked on demand, windowed and coloured here, so that every display works on the stored values.

const data = JSON.parse(document.getElementById('data').textContent);
const KEPT_PICTURES = 96;
const unpacked = new Map();

const fromBase64 = Uint8Array.fromBase64
  ? (text) => Uint8Array.fromBase64(text)
  : (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function inflated(id) {
  const bytes = fromBase64(document.getElementById(id).textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpack(id) {
  const { shape: [height, width], step } = data.pictures[id];
  const bytes = await inflated(id);
  const values = new Float32Array(height * width);
  for (let i = 0; i < values.length; i++) values[i] = step * (256 * bytes[i] + bytes[i + values.length]);
  return { height, width, values };
}

/** Picture of that name; the least recently used ones are forgotten. */
function pictureOf(id) {
  const found = unpacked.get(id) ?? unpack(id);
  unpacked.delete(id);
  unpacked.set(id, found);
  if (unpacked.size > KEPT_PICTURES) unpacked.delete(unpacked.keys().next().value);
  return found;
}

function difference(image, reference) {
  return { ...image, values: image.values.map((value, i) => Math.abs(value - reference.values[i])) };
}

/** 256 colours, as pixels, of evenly spaced colours such as #440154. */
function colourTable(colours) {
  const channels = colours.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (channels.length - 1);
    const low = Math.min(Math.floor(place), channels.length - 2);
    const [red, green, blue] = channels[low].map((value, k) =>
      Math.round(value + (place - low) * (channels[low + 1][k] - value)));
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

const TABLES = Object.fromEntries(Object.entries(data.colours).map(([layer, colours]) => [layer, colourTable(colours)]));

const OUTSIDE = colourTable(['#184260', '#98c2e0']);

/** Colour a picture between two values into a canvas of its own size; what is outside an object in blue. */
function coloured(picture, { low, high }, table, canvas, inside = null) {
  const { width, height, values } = picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const factor = 256 / Math.max(high - low, 1e-12);
  for (let i = 0; i < pixels.length; i++) {
    const level = (values[i] - low) * factor;
    pixels[i] = (inside && !inside[i] ? OUTSIDE : table)[level < 0 ? 0 : level > 255 ? 255 : level | 0];
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Mean square in every square of `size` pixels; the worst one's corner and root mean square. */
function worstSquare({ width, height, values }, size) {
  const sums = new Float64Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0, row = 0; x < width; x++) {
      row += values[y * width + x] ** 2;
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  const sum = (y, x) => sums[y * (width + 1) + x];
  let worst = { x: 0, y: 0, square: -1 };
  for (let y = 0; y + size <= height; y++) {
    for (let x = 0; x + size <= width; x++) {
      const square = sum(y + size, x + size) - sum(y, x + size) - sum(y + size, x) + sum(y, x);
      if (square > worst.square) worst = { x, y, square };
    }
  }
  return { x: worst.x, y: worst.y, rms: Math.sqrt(worst.square) / size };
}
