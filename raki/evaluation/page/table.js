// The table of figures: sorted by any column, exported as it stands.

function startTable() {
  const table = document.getElementById('table');
  if (!table) return;
  const names = Object.keys(data.columns);
  const body = table.tBodies[0];
  const rowOf = (line) => data.panels[line.dataset.index].row;
  markBest(body, rowOf);

  const compare = (name, sign) => (a, b) => {
    const [left, right] = [rowOf(a)[name] ?? null, rowOf(b)[name] ?? null];
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (typeof left === 'string' ? left.localeCompare(right, 'en', { numeric: true }) : left - right);
  };
  for (const heading of table.tHead.rows[0].cells) {
    heading.firstElementChild.addEventListener('click', () => {
      const falling = heading.ariaSort === 'ascending';
      for (const other of table.tHead.rows[0].cells) other.ariaSort = 'none';
      heading.ariaSort = falling ? 'descending' : 'ascending';
      body.append(...[...body.rows].sort(compare(heading.dataset.name, falling ? -1 : 1)));
    });
  }

  const onlyShown = document.getElementById('only-shown');
  const mark = () => {
    for (const line of body.rows) {
      const isShown = viewer.shows(data.panels[line.dataset.index]);
      line.classList.toggle('shown', isShown);
      line.hidden = onlyShown.checked && !isShown;
    }
  };
  onlyShown.addEventListener('change', mark);
  viewer.onChange.push(mark);
  document.getElementById('csv').addEventListener('click', () => {
    const rows = [...body.rows].filter((line) => !line.hidden).map(rowOf);
    save(csv([...names, 'warnings'], rows), 'text/csv', 'figures.csv');
  });
}

/** Of tables beside it, only the cells that are shown. */
function startTablesBeside() {
  viewer.onChange.push(() => {
    for (const line of document.querySelectorAll('table.beside tbody tr')) line.hidden = !viewer.shows(data.panels[line.dataset.index]);
  });
}

/** Star the least error in the object of every rate, ACS and slice; hollow where the method has a price. */
function markBest(body, rowOf) {
  const least = new Map();
  const cellOf = (row) => `${row.rate} ${row.acs} ${row.slice}`;
  const filling = [...body.rows].filter((line) => scoreOf(rowOf(line).method, rowOf(line)).fills);
  for (const line of filling) {
    const row = rowOf(line);
    least.set(cellOf(row), Math.min(row.nrmse_object, least.get(cellOf(row)) ?? Infinity));
  }
  for (const line of filling) {
    if (rowOf(line).nrmse_object !== least.get(cellOf(rowOf(line)))) continue;
    const { mark, class: kind, title } = star(scoreOf(rowOf(line).method, rowOf(line)));
    line.classList.add('best', kind);
    line.cells[0].append(element('span', { title: ['least NRMSE in the object here', title].filter(Boolean).join(', ') }, ` ${mark}`));
  }
}

function csv(names, rows) {
  const quoted = (value) => {
    const text = Array.isArray(value) ? value.join('; ') : String(value ?? '');
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((line) => line.map(quoted).join(',')).join('\r\n') + '\r\n';
}

function save(text, type, name) {
  const link = element('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
