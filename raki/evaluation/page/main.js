// Controls, and the start.

const KEYS = [
  ['← →', 'rate', 'rate'], ['↑ ↓', 'slice', 'slice'], ['a A', 'ACS', 'acs'], ['s S', 'seed', 'seed'], ['r R', 'repetition', 'repetition'],
];
const NAMES = { slice: 'slice', rate: 'rate R', acs: 'ACS', seed: 'seed', repetition: 'repetition' };
const FEW = 12;
const viewerElement = document.getElementById('viewer');

/** Radio buttons for a few values, a slider for many. */
function axisControl(axis, values) {
  const name = element('span', { class: 'label' }, NAMES[axis] ?? axis);
  if (values.length > FEW) {
    return element('label', { class: 'choice' }, name, element('input', {
      type: 'range', min: 0, max: values.length - 1, value: 0, 'data-axis': axis,
      oninput: ({ target }) => viewer.go({ [axis]: values[target.value] }),
    }), element('output', { 'data-axis': axis }));
  }
  const radios = values.map((value) => element('label', {}, element('input', {
    type: 'radio', name: axis, value, onchange: () => viewer.go({ [axis]: value }),
  }), element('span', {}, `${value}`)));
  return element('div', { class: 'choice', role: 'radiogroup', 'aria-label': NAMES[axis] ?? axis }, name, element('div', { class: 'segments' }, ...radios));
}

function methodControl() {
  const boxes = data.methods.map((method) => element('label', { style: `--colour:${colourOf(method)}` }, element('input', {
    type: 'checkbox', value: method, checked: '', onchange: () => viewer.toggle(method),
  }), element('span', {}, method)));
  return element('div', { class: 'choice', role: 'group', 'aria-label': 'methods shown' },
    element('span', { class: 'label' }, 'methods'), element('div', { class: 'segments' }, ...boxes));
}

function zoomButton(sign, name, by) {
  return element('button', { type: 'button', 'aria-label': name, title: name, onclick: () => zoomAt(0.5, 0.5, by) }, sign);
}

function buildControls() {
  const controls = Object.entries(data.axes).filter(([, values]) => values.length > 1);
  document.getElementById('controls').replaceChildren(
    ...controls.map(([axis, values]) => axisControl(axis, values)),
    ...(data.methods.length > 1 ? [methodControl()] : []),
    element('div', { class: 'choice', role: 'group', 'aria-label': 'zoom' },
      zoomButton('−', 'zoom out', 1 / 1.4), zoomButton('+', 'zoom in', 1.4),
      element('button', { type: 'button', id: 'reset', title: '0', onclick: reset }, 'reset view')));
  const keys = [
    ...KEYS.filter(([, , axis]) => data.axes[axis]?.length > 1),
    ...(data.methods.length > 1 ? [['m M', 'method'], [`1–${Math.min(9, data.methods.length)}`, 'show or hide a method']] : []),
    ...(viewer.hasReference() ? [['w', 'worst region'], ['hold f', 'reference in place'], ['e E', 'error scale']] : []),
    ['+ −', 'zoom'], ['shift + arrows', 'pan'], ['[ ] , .', 'window, level'], ['0', 'reset'], ['t', 'theme'],
  ];
  document.getElementById('keys').replaceChildren(
    ...keys.map(([key, what]) => element('span', {}, element('kbd', {}, key), ` ${what}`)),
    element('span', {}, 'Ctrl or ⌘ + wheel zooms, drag pans, shift + drag windows, double click resets'));
}

function syncControls() {
  for (const [axis, values] of Object.entries(data.axes)) {
    for (const radio of document.querySelectorAll(`input[type=radio][name=${axis}]`)) radio.checked = radio.value === String(viewer.place[axis]);
    const slider = document.querySelector(`input[data-axis=${axis}]`);
    if (slider) slider.value = values.indexOf(viewer.place[axis]);
    const text = document.querySelector(`output[data-axis=${axis}]`);
    if (text) text.textContent = viewer.place[axis];
  }
  for (const box of document.querySelectorAll('#controls input[type=checkbox]')) box.checked = !viewer.hidden.has(box.value);
  const row = viewer.methods().map((method) => viewer.panel(method)?.row).find(Boolean);
  const places = Object.entries(viewer.place).filter(([axis]) => axis !== 'seed' || data.axes.seed.length > 1);
  const names = places.map(([axis, value]) => `${NAMES[axis] ?? axis} = ${value}`.replace('rate R', 'R'));
  const others = [];
  if (row?.net_acceleration) others.push(`net acceleration ${row.net_acceleration.toFixed(2)}`);
  if (viewer.zoom.factor > 1) others.push(`zoom ${viewer.zoom.factor.toPrecision(2)} ×`);
  const quiet = element('span', { class: 'quiet' }, `${names.join(' · ')} · `); // seen in the controls, but not on paper
  document.getElementById('where').replaceChildren(quiet, others.join(' · '));
}

viewer.onChange.push(syncControls);
startLink();
buildControls();
buildPanels();
bringChosen();
showZoom();
startSummary();
startTable();
startTablesBeside();
document.addEventListener('keydown', onKey);
document.addEventListener('keyup', ({ key }) => key === 'f' && flicker(false));
addEventListener('blur', () => flicker(false)); // its keyup goes to another window
document.getElementById('theme').addEventListener('click', switchTheme);
addEventListener('beforeprint', () => {
  viewer.flicker = false;
  for (const folded of document.querySelectorAll('details.printed')) folded.open = true;
  paintTiles();
});
await viewer.changed();
viewer.onChange.push(noteLink);
performance.mark('interactive');
document.documentElement.dataset.ready = 'yes';
startCurves();
