// Elements from data. What users have written only ever becomes text.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, it] of Object.entries(value)) element.style.setProperty(key, it);
    else if (name in element && name !== 'list' && !(element instanceof SVGElement)) element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== undefined && child !== null && child !== false) element.append(child);
  }
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export function show(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

// Sets what differs, so that nothing flickers and a screen reader hears of changes only.
export function setText(element, text) {
  const next = text ?? '';
  if (element.textContent !== next) element.textContent = next;
}

export function bytes(count) {
  if (count === null || count === undefined) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(micros) {
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 1e6) return `${(micros / 1000).toFixed(micros < 1e4 ? 2 : 1)} ms`;
  if (micros < 6e7) return `${(micros / 1e6).toFixed(2)} s`;
  return `${Math.floor(micros / 6e7)} min ${Math.round((micros % 6e7) / 1e6)} s`;
}

// The API writes times in UTC, some without saying so.
export const parseTime = (text) => new Date(/Z$|[+-]\d\d:\d\d$/.test(text) ? text : `${text}Z`);

export function ago(text) {
  if (!text) return '';
  const seconds = Math.max(0, Math.round((Date.now() - parseTime(text)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export const clock = (text) => (text ? parseTime(text).toLocaleString() : '');

const TONES = {
  good: ['ACTIVE', 'up', 'completed', 'confirmed', 'Success', 'enabled'],
  bad: ['ERROR', 'error', 'failed', 'down', 'Error'],
  busy: [
    'BUILD', 'MIGRATING', 'RESIZE', 'REVERT_RESIZE', 'VERIFY_RESIZE', 'REBOOT', 'HARD_REBOOT', 'accepted', 'queued',
    'preparing', 'running', 'post-migrating', 'pre-migrating', 'migrating', 'reverting', 'confirming', 'finished',
  ],
};

export function toneOf(status) {
  for (const [tone, all] of Object.entries(TONES)) if (all.includes(status)) return tone;
  return 'calm';
}

// A state is told by its word and its mark, never by its colour alone.
export function badge(status) {
  return h('span', { className: `badge ${toneOf(status)}` }, status);
}

export function empty(title, text, ...more) {
  return h('div', { className: 'empty' }, h('p', { className: 'empty-title' }, title), h('p', null, text), more);
}

export function failure(error, retry) {
  return h(
    'div',
    { className: 'notice bad', role: 'alert' },
    h('p', null, error.message ?? String(error)),
    error.requestId ? h('p', { className: 'mono small' }, error.requestId) : null,
    retry ? h('button', { type: 'button', onclick: retry }, 'Try again') : null,
  );
}

export const loading = () => h('p', { className: 'loading', role: 'status' }, 'Loading …');

let toastTimer;

// What has become of something that was asked for.
export function toast(text, tone = 'calm', link) {
  const place = document.getElementById('toast');
  show(place, h('div', { className: `toast ${tone}` }, h('span', null, text), link ?? null));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => place.replaceChildren(), tone === 'bad' ? 12000 : 6000);
}

// Asks before something is done that can't be undone.
export function confirmed(title, text, verb) {
  return new Promise((resolve) => {
    const dialog = h(
      'dialog',
      { onclose: () => { resolve(dialog.returnValue === 'yes'); dialog.remove(); }, 'aria-label': title },
      h('h2', null, title),
      h('p', null, text),
      h(
        'div',
        { className: 'row end' },
        h('button', { type: 'button', onclick: () => dialog.close('no') }, 'Cancel'),
        h('button', { type: 'button', className: 'danger', onclick: () => dialog.close('yes') }, verb),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
