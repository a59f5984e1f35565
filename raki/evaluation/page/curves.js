// Few curves over the rate, and error over retained signal; drawn by plotly, where the page has it.

const METHOD_COLOURS = ['#7f858e', '#d07000', '#2f8fd3', '#c44e9c', '#23945f', '#a08500', '#8f6bd6', '#d1495b'];
const SYMBOLS = ['circle', 'square', 'diamond', 'triangle-up', 'cross', 'x', 'star', 'triangle-down'];
const MARKS = { circle: '●', square: '■', diamond: '◆', 'triangle-up': '▲', cross: '✚', x: '✖', star: '★', 'triangle-down': '▼' };
const SIZES = { large: { height: 340 }, small: { height: 210 } };
const PRINTED = { large: { width: 505, height: 280 }, small: { width: 196, height: 150 } };
let printing = false;
const colourOf = (method) => METHOD_COLOURS[data.methods.indexOf(method) % METHOD_COLOURS.length];
const symbolOf = (method) => SYMBOLS[data.methods.indexOf(method) % SYMBOLS.length];

/** Seconds are the sum of both. */
function valueOf(row, name) {
  return name === 'seconds' ? (row.seconds_fit ?? NaN) + (row.seconds_fill ?? NaN) : row[name];
}

/** What the table at the top has, error first and large; the rest small. */
function charts() {
  const known = data.summary.columns.filter(({ name }) => data.panels.some(({ row }) => Number.isFinite(valueOf(row, name))));
  return known.map((column, i) => ({ ...column, id: `curve-${column.name}`, size: i ? 'small' : 'large' }));
}

/** Any figure can take the place of the error in the large chart. */
function figureChoice() {
  const known = Object.entries(data.columns).filter(([name, column]) =>
    column.is_metric && data.panels.some(({ row }) => Number.isFinite(row[name])));
  const options = known.map(([name, { label }]) => element('option', { value: name }, label));
  return element('select', { id: 'large-figure', 'aria-label': 'figure of the large chart', onchange: drawCurves }, ...options);
}

function chart({ id, size, label, about, better }) {
  const heading = size === 'large' ? figureChoice() : `${label} ${better === 'low' ? '↓' : '↑'}`;
  return element('div', { class: `chart ${size}` }, element('h3', { title: about }, heading),
    element('div', { id, role: 'img', 'aria-label': `${label} over the rate. ${about}` }));
}

/** Methods whose curves mean something: zero filling, whose error is off every scale, is in the tables. */
function drawn() {
  const filling = new Set(data.summary.scores.filter(({ fills }) => fills).map(({ method }) => method));
  return viewer.methods().filter((method) => filling.has(method) || !filling.size);
}

function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, above: Math.max(...values) - mean, below: mean - Math.min(...values), number: values.length };
}

/** One line: mean over slices and seeds at every rate, with what reaches to the least and the largest. */
function trace(method, name, rows) {
  const own = rows.filter((row) => row.method === method && Number.isFinite(valueOf(row, name)));
  const rates = data.axes.rate.filter((rate) => own.some((row) => row.rate === rate));
  const points = rates.map((rate) => spread(own.filter((row) => row.rate === rate).map((row) => valueOf(row, name))));
  const spreads = points.some(({ above, below }) => above > 0 || below > 0);
  return {
    x: rates, y: points.map(({ mean }) => mean), name: method, mode: 'lines+markers',
    customdata: points.map(({ mean, above, below, number }) =>
      number > 1 ? `${number} cells, ${(mean - below).toPrecision(4)} to ${(mean + above).toPrecision(4)}` : 'one cell'),
    hovertemplate: `${method}, R = %{x}: %{y:.4g}<br>%{customdata}<extra></extra>`,
    line: { color: colourOf(method), width: 2 }, marker: { symbol: symbolOf(method), size: 8 },
    error_y: {
      type: 'data', symmetric: false, visible: spreads, thickness: 1.3, width: 4,
      array: points.map(({ above }) => above), arrayminus: points.map(({ below }) => below),
    },
  };
}

function layoutOf({ better, size }) {
  const line = { type: 'line', yref: 'paper', y0: 0, y1: 1, line: { color: '#8888', width: 1, dash: 'dot' } };
  const axis = { gridcolor: '#8883', zeroline: false, automargin: true, fixedrange: true, exponentformat: 'none' };
  return {
    showlegend: false, ...(printing ? PRINTED : SIZES)[size],
    margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: '#0000', plot_bgcolor: '#0000', hovermode: 'closest',
    font: { family: 'system-ui, sans-serif', size: 12 },
    xaxis: { ...axis, title: { text: size === 'large' ? 'acceleration R' : 'R' }, tickvals: data.axes.rate, type: data.axes.rate.every(Number.isFinite) ? 'linear' : 'category' },
    yaxis: { ...axis, nticks: size === 'large' ? 8 : 5, rangemode: better === 'high' ? 'normal' : 'tozero' },
    shapes: [{ ...line, x0: viewer.place.rate, x1: viewer.place.rate }],
  };
}

/** Of a logarithmic axis: powers of ten over decades, 1, 2, 5 over one or two, and what comes of itself over less. */
function logAxis(values) {
  const known = values.filter((value) => value > 0);
  const range = Math.max(...known) / Math.min(...known);
  return { type: 'log', tickformat: '~g', ...(range > 8 && { dtick: range > 30 ? 1 : 'D2' }) };
}

function drawCurve({ id, size, ...column }) {
  const host = document.getElementById(id);
  const other = size === 'large' && document.getElementById('large-figure').value;
  const what = other && other !== column.name ? { ...data.columns[other], name: other, better: data.columns[other].best } : column;
  const oneSlice = document.getElementById('one-slice').checked;
  const rows = data.panels.map(({ row }) => row).filter((row) =>
    row.acs === acsAt(row.rate) && (!oneSlice || row.slice === viewer.place.slice));
  const traces = drawn().map((method) => trace(method, what.name, rows)).filter(({ x }) => x.length);
  const isNew = !host.data;
  const layout = layoutOf({ ...what, size });
  if (what.name.startsWith('seconds')) Object.assign(layout.yaxis, logAxis(traces.flatMap(({ y }) => y)));
  Plotly.react(host, traces, layout, { displayModeBar: false, responsive: true });
  if (isNew) host.on('plotly_click', ({ points }) => viewer.go({ rate: points[0].x }));
}

/** Error over retained signal of the cells shown above: a curve over the strength of a method, the chosen one large. */
function drawTradeoff() {
  const host = document.getElementById('tradeoff');
  const rows = drawn().map((method) => viewer.panel(method)?.row)
    .filter((row) => Number.isFinite(row?.retention_mean) && row.nrmse_object > 0);
  host.parentElement.hidden = !rows.length;
  if (!rows.length) return;
  const traces = rows.flatMap((row) => {
    const [colour, symbol] = [colourOf(row.method), symbolOf(row.method)];
    const hovertemplate = `${row.method}, %{customdata}: retained %{x:.3f}, NRMSE object %{y:.4f}<extra></extra>`;
    return [{
      x: row.tradeoff.map((each) => each.retention_mean), y: row.tradeoff.map((each) => each.nrmse_object),
      customdata: row.tradeoff.map(({ strength }) => `strength ${strength.toPrecision(3)}`), hovertemplate,
      name: row.method, mode: 'lines+markers', line: { color: colour, width: 2 }, marker: { symbol, size: 5 },
    }, {
      x: [row.retention_mean], y: [row.nrmse_object], customdata: ['as chosen'], hovertemplate, name: row.method,
      mode: 'markers', marker: { symbol, color: colour, size: 14, line: { color: '#888', width: 2 } },
    }];
  });
  const layout = layoutOf({ size: 'large' });
  layout.shapes = [];
  Object.assign(layout.xaxis, { title: { text: 'retained part of the unmeasured signal' }, type: 'linear' });
  delete layout.xaxis.tickvals;
  Object.assign(layout.yaxis, logAxis(traces.flatMap(({ y }) => y)), { title: { text: 'NRMSE object' } });
  Plotly.react(host, traces, layout, { displayModeBar: false, responsive: true });
}

/** Draw all curves, one by one, so that the page answers in between. */
function drawCurves() {
  if (!globalThis.Plotly) return;
  const ticket = (drawCurves.ticket = (drawCurves.ticket ?? 0) + 1);
  delete document.documentElement.dataset.curves;
  const todo = [writeLegendLine, ...charts().map((each) => () => drawCurve(each)), drawTradeoff];
  const next = () => {
    if (ticket !== drawCurves.ticket) return;
    todo.shift()();
    if (todo.length) return setTimeout(next);
    performance.mark('curves');
    document.documentElement.dataset.curves = 'drawn';
  };
  setTimeout(next);
}

function writeLegendLine() {
  document.getElementById('curves-legend').replaceChildren(...drawn().map((method) =>
    element('span', { style: `color:${colourOf(method)}` }, MARKS[symbolOf(method)], element('b', {}, ` ${method}`))));
}

function drawAtOnce() {
  writeLegendLine();
  for (const each of charts()) drawCurve(each);
  drawTradeoff();
}

/** Run plotly: at leisure, compiled beside the page, or at once for who prints. */
function runPlotly(bytes, isUrgent = false) {
  if (globalThis.Plotly || (runPlotly.asked && !isUrgent)) return runPlotly.asked;
  const script = document.createElement('script');
  runPlotly.asked = new Promise((resolve) => { script.onload = resolve; });
  if (isUrgent) script.textContent = new TextDecoder().decode(bytes);
  else script.src = URL.createObjectURL(new Blob([bytes], { type: 'text/javascript' }));
  document.head.append(script);
  return runPlotly.asked;
}

/** Get ready to draw, a moment after the images are there; curves are drawn when somebody comes near them, or prints. */
async function startCurves() {
  if (!document.getElementById('plotly')) return;
  const [large, ...small] = charts().map(chart);
  document.getElementById('large-charts').prepend(large);
  document.getElementById('small-charts').replaceChildren(...small);
  const bytes = await inflated('plotly');
  setTimeout(() => requestIdleCallback(() => runPlotly(bytes), { timeout: 2000 }), 300);
  const approach = new IntersectionObserver(async ([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    approach.disconnect();
    await runPlotly(bytes);
    drawCurves();
    viewer.onChange.push(drawCurves);
  }, { rootMargin: '300px' });
  approach.observe(document.getElementById('curves'));
  document.getElementById('one-slice').addEventListener('change', drawCurves);
  addEventListener('beforeprint', () => {
    runPlotly(bytes, true);
    printing = true;
    drawAtOnce();
  });
  addEventListener('afterprint', () => {
    printing = false;
    drawAtOnce();
  });
}
