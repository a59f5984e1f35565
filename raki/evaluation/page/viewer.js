// What is shown: the chosen place, the windows, and the zoom that all panels share.

const LAYERS = Object.keys(data.scales);
const TITLES = { image: 'image', error: '|image − reference|', gfactor: 'g-factor', retention: 'signal retained' };
const MAPS = ['gfactor', 'retention'];
const ABOUT_OBJECT = 'where NRMSE object and g-factors are taken; the rest is blue';
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const shortly = (value) => (value === 0 ? '0' : value.toPrecision(3));

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function figure(column, value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'string') return value;
  return column.digits === null ? Number(value.toPrecision(4)).toString() : value.toFixed(column.digits).replace(/^-(?=[0.]+$)/, '');
}

const initialWindows = () => Object.fromEntries(LAYERS.map((layer) => [layer, { low: 0, high: data.scales[layer] }]));

const viewer = {
  place: { ...Object.fromEntries(Object.entries(data.axes).map(([axis, values]) => [axis, values[0]])), ...data.summary?.opens },
  hidden: new Set(),
  chosen: data.summary?.winner ?? data.methods[0],
  windows: initialWindows(),
  zoom: { x: 0, y: 0, factor: 1 },
  flicker: false,
  tiles: [],
  onChange: [],

  methods() { return data.methods.filter((method) => !this.hidden.has(method)); },
  hasReference() { return Object.keys(data.references).length > 0; },
  matches({ place }) {
    return Object.entries(this.place).every(([axis, value]) => (place[axis] ?? value) === value);
  },
  shows(panel) { return !this.hidden.has(panel.method) && this.matches(panel); },
  panel(method) { return data.panels.find((panel) => panel.method === method && this.matches(panel)); },

  move(place) {
    Object.assign(this.place, place);
    if (!data.panels.some((panel) => this.matches(panel))) Object.assign(this.place, this.nearest(place));
  },
  go(place) {
    this.move(place);
    return this.changed();
  },
  /** Where there is something, as close as can be: rates may have an ACS of their own. */
  nearest(wanted) {
    const known = ({ place }) => Object.fromEntries(Object.entries(place).filter(([, value]) => value !== null));
    const agreement = (place) => Object.entries(place).filter(([axis, value]) => this.place[axis] === value).length;
    const places = data.panels.map(known).filter((place) => Object.entries(wanted).every(([axis, value]) => (place[axis] ?? value) === value));
    return places.reduce((best, place) => (agreement(place) > agreement(best) ? place : best), places[0] ?? {});
  },
  step(axis, by) {
    const values = data.axes[axis] ?? [];
    const next = values[values.indexOf(this.place[axis]) + by];
    if (next !== undefined) this.go({ [axis]: next });
    return next !== undefined;
  },
  toggle(method) {
    if (this.hidden.has(method)) this.hidden.delete(method);
    else if (this.methods().length > 1) this.hidden.add(method);
    buildPanels();
    return this.changed();
  },
  choose(by) {
    const methods = this.methods();
    this.chosen = methods[(methods.indexOf(this.chosen) + by + methods.length) % methods.length];
    markChosen();
    document.querySelector('.panels .chosen')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  },
  async changed() {
    for (const listener of this.onChange) listener();
    await loadTiles();
  },
};

/** A zoom that stays inside the image. */
function bounded(factor, x, y) {
  const within = clamp(factor, 1, 32);
  return { factor: within, x: clamp(x, 0, 1 - 1 / within), y: clamp(y, 0, 1 - 1 / within) };
}

function zoomTo(x, y, factor) {
  viewer.zoom = bounded(factor, x, y);
  showZoom();
  noteLink();
}

function showZoom() {
  document.getElementById('panels').classList.toggle('zoomed', viewer.zoom.factor > 1);
  drawTiles();
  syncControls();
}

/** Zoom by `by` so that what is at (u, v) of a panel stays there. */
function zoomAt(u, v, by) {
  const { x, y, factor } = viewer.zoom;
  const next = clamp(factor * by, 1, 32);
  zoomTo(x + u / factor - u / next, y + v / factor - v / next, next);
}

function showWorst(method) {
  const found = viewer.tiles.find((each) => each.layer === 'error' && each.method === method)?.picture;
  if (!found) return;
  const size = Math.max(4, Math.round(Math.min(found.width, found.height) / 8));
  const { x, y, rms } = worstSquare(found, size);
  const factor = Math.min(found.width, found.height) / (2 * size);
  viewer.chosen = method;
  markChosen();
  zoomTo((x + size / 2) / found.width - 0.5 / factor, (y + size / 2) / found.height - 0.5 / factor, factor);
  document.getElementById('where').append(
    ` · worst ${size} × ${size} pixels of ${method}: root mean square error ${shortly(rms)} around (${x + (size >> 1)}, ${y + (size >> 1)})`);
}

/** A window that is wide enough to see anything in. */
function boundedWindow(layer, low, high) {
  const smallest = data.scales[layer] / 500;
  const top = Math.max(high, low + smallest, smallest);
  return { low: clamp(low, layer === 'image' ? -data.scales.image : 0, top - smallest), high: top };
}

function setWindow(layer, low, high) {
  viewer.windows[layer] = boundedWindow(layer, low, high);
  paintTiles();
  noteLink();
}

function reset() {
  viewer.windows = initialWindows();
  zoomTo(0, 0, 1);
  paintTiles();
}

function slid(layer, name, value) {
  const { low, high } = viewer.windows[layer];
  if (name === 'high') return setWindow(layer, 0, Math.exp(value));
  const level = name === 'level' ? value : (low + high) / 2;
  const width = name === 'width' ? Math.exp(value) : high - low;
  return setWindow(layer, level - width / 2, level + width / 2);
}
