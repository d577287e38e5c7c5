// A long table of which only the rows that can be seen are there.

import { h } from './dom.js';

const AROUND = 8;

// `columns` are [title, class]; `make()` makes a row's cells and returns what updates them: (item) => void.
export function list({ label, columns, make, rowHeight = 44, onOpen }) {
  const rows = new Map();
  const spare = [];
  let items = [];
  let first = -1;
  let last = -1;
  const body = h('div', { className: 'list-body', role: 'rowgroup' });
  const scroller = h(
    'div',
    { className: 'list', role: 'table', 'aria-label': label, tabIndex: 0, style: { '--row': `${rowHeight}px` } },
    h(
      'div',
      { className: 'list-head', role: 'rowgroup' },
      h('div', { className: 'list-row', role: 'row' }, columns.map(([title, kind]) => h('div', { className: kind, role: 'columnheader' }, title))),
    ),
    body,
  );

  function newRow() {
    const cells = columns.map(([, kind]) => h('div', { className: kind, role: 'cell' }));
    const element = h('div', { className: 'list-row', role: 'row' }, cells);
    const row = { element, update: make(cells), id: null, item: null };
    element.addEventListener('click', (event) => {
      if (!event.target.closest('a, button') && row.item) onOpen?.(row.item);
    });
    return row;
  }

  function draw(all) {
    const height = scroller.clientHeight || 600;
    const from = Math.max(0, Math.floor(scroller.scrollTop / rowHeight) - AROUND);
    const to = Math.min(items.length, Math.ceil((scroller.scrollTop + height) / rowHeight) + AROUND);
    if (!all && from === first && to === last) return;
    first = from;
    last = to;
    const wanted = new Map();
    for (let index = from; index < to; index += 1) wanted.set(items[index].id, index);
    for (const [id, row] of rows) {
      if (wanted.has(id)) continue;
      rows.delete(id);
      row.element.remove();
      spare.push(row);
    }
    let before = null;
    for (const [id, index] of wanted) {
      let row = rows.get(id);
      if (!row) {
        row = spare.pop() ?? newRow();
        rows.set(id, row);
      }
      row.item = items[index];
      row.element.style.setProperty('--top', `${index * rowHeight}px`);
      row.element.setAttribute('aria-rowindex', String(index + 2));
      row.element.dataset.id = id;
      row.update(items[index]);
      // In the order of the list, which is that of the keyboard.
      const place = before ? before.nextSibling : body.firstChild;
      if (place !== row.element) body.insertBefore(row.element, place);
      before = row.element;
    }
  }

  let frame = 0;
  scroller.addEventListener('scroll', () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => draw(false));
  }, { passive: true });
  const sizes = new ResizeObserver(() => draw(false));
  sizes.observe(scroller);

  return {
    element: scroller,
    set(next) {
      items = next;
      scroller.setAttribute('aria-rowcount', String(items.length + 1));
      body.style.setProperty('--height', `${items.length * rowHeight}px`);
      draw(true);
    },
    stop: () => sizes.disconnect(),
  };
}
