// Gestures and keys: what happens on one panel happens on all.

/** Drag, pinch, pointing, and the wheel with a key held: without one it scrolls the page, as everywhere. */
function attachGestures({ canvas, layer, method }) {
  const pointers = new Map();
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { u: (event.clientX - box.left) / box.width, v: (event.clientY - box.top) / box.height };
  };
  canvas.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { u, v } = place(event);
    zoomAt(u, v, Math.exp(-event.deltaY / 300));
  }, { passive: false });
  canvas.addEventListener('pointerdown', (event) => {
    if (event.pointerType === 'touch' && viewer.zoom.factor === 1 && pointers.size === 0) { pointers.set(event.pointerId, place(event)); return; }
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
  });
  canvas.addEventListener('pointermove', (event) => {
    const now = place(event);
    point(now, layer, method);
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, other]) => other);
    pointers.set(event.pointerId, now);
    if (others.length) return pinch(before, now, others[0]);
    if (event.shiftKey) return dragWindow(layer === 'error' && method === null ? 'image' : layer, now.u - before.u, now.v - before.v);
    const { x, y, factor } = viewer.zoom;
    if (factor > 1) zoomTo(x - (now.u - before.u) / factor, y - (now.v - before.v) / factor, factor);
  });
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener('pointerleave', () => point(null));
  canvas.addEventListener('dblclick', () => zoomTo(0, 0, 1));
}

function pinch(before, now, other) {
  const distance = ({ u, v }) => Math.hypot(u - other.u, v - other.v) || 1e-3;
  zoomAt((now.u + other.u) / 2, (now.v + other.v) / 2, distance(now) / distance(before));
}

function dragWindow(layer, right, down) {
  const { low, high } = viewer.windows[layer];
  if (layer !== 'image') return setWindow(layer, 0, high * Math.exp(2 * down));
  const [level, width] = [(low + high) / 2 - down * data.scales.image, (high - low) * Math.exp(2 * right)];
  return setWindow(layer, level - width / 2, level + width / 2);
}

/** Values of all panels at the pixel under the pointer. */
function point(at) {
  const { x, y, factor } = viewer.zoom;
  for (const { picture, cross, pixel } of viewer.tiles) {
    if (!cross) continue;
    cross.hidden = !at || !picture;
    if (!at || !picture) { pixel.textContent = ''; continue; }
    cross.style.left = `${100 * at.u}%`;
    cross.style.top = `${100 * at.v}%`;
    const column = clamp(Math.floor((x + at.u / factor) * picture.width), 0, picture.width - 1);
    const line = clamp(Math.floor((y + at.v / factor) * picture.height), 0, picture.height - 1);
    pixel.textContent = `(${column}, ${line}) ${shortly(picture.values[line * picture.width + column])}`;
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select')) return;
  const isInput = event.target.matches('input[type=range], input[type=radio]');
  const isViewer = event.target === document.body || viewerElement.contains(event.target);
  if (event.key.startsWith('Arrow') && !isInput && isViewer) return onArrow(event);
  if (event.key === 'f') return flicker(true);
  const widen = (by, shift) => {
    const { low, high } = viewer.windows.image;
    const [level, width] = [(low + high) / 2 + shift * data.scales.image, (high - low) * by];
    setWindow('image', level - width / 2, level + width / 2);
  };
  const actions = {
    a: () => viewer.step('acs', 1), A: () => viewer.step('acs', -1), s: () => viewer.step('seed', 1), S: () => viewer.step('seed', -1),
    r: () => viewer.step('repetition', 1), R: () => viewer.step('repetition', -1),
    m: () => viewer.choose(1), M: () => viewer.choose(-1), w: () => showWorst(viewer.chosen), 0: reset, t: switchTheme,
    '+': () => zoomAt(0.5, 0.5, 1.4), '-': () => zoomAt(0.5, 0.5, 1 / 1.4),
    '[': () => widen(0.9, 0), ']': () => widen(1 / 0.9, 0), ',': () => widen(1, -0.03), '.': () => widen(1, 0.03),
  };
  if (data.scales.error) {
    actions.e = () => setWindow('error', 0, viewer.windows.error.high / 1.25);
    actions.E = () => setWindow('error', 0, viewer.windows.error.high * 1.25);
  }
  const method = data.methods[Number(event.key) - 1];
  const action = actions[event.key] ?? (data.methods.length > 1 && method ? () => viewer.toggle(method) : null);
  action?.();
}

function onArrow(event) {
  const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const { x, y, factor } = viewer.zoom;
  if (event.shiftKey) zoomTo(x + (0.1 * right) / factor, y + (0.1 * down) / factor, factor);
  else if (right && data.axes.rate?.length > 1) viewer.step('rate', right);
  else if ((down || !data.axes.rate) && data.axes.slice?.length > 1) viewer.step('slice', right || down);
  else return;
  event.preventDefault();
}

function flicker(isOn) {
  if (viewer.flicker === isOn || !viewer.hasReference()) return;
  viewer.flicker = isOn;
  document.getElementById('panels').classList.toggle('flicker', isOn);
  paintTiles();
}

function switchTheme() {
  const isDark = (document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  document.documentElement.dataset.theme = isDark ? 'light' : 'dark';
}
