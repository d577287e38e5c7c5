// The story of a request: who did what of it, from when to when.

import { get } from './api.js';
import { badge, clock, duration, empty, failure, h, loading, show } from './dom.js';
import { store, watch } from './store.js';

const RECENT = 'novella.requests';

const recent = () => JSON.parse(sessionStorage.getItem(RECENT) ?? '[]');

function remember(id) {
  sessionStorage.setItem(RECENT, JSON.stringify([id, ...recent().filter((it) => it !== id)].slice(0, 12)));
}

function typed(value) {
  const id = value.trim();
  if (id) location.hash = `#/requests/${encodeURIComponent(id)}`;
}

function searchForm(id) {
  const input = h('input', {
    type: 'search', id: 'request-id', value: id ?? '', className: 'mono', 'aria-label': 'Request id', placeholder: 'req-…', size: 44, spellcheck: false,
  });
  return h(
    'form',
    { className: 'row', onsubmit: (event) => { event.preventDefault(); typed(input.value); } },
    input,
    h('button', { type: 'submit' }, 'Tell its story'),
  );
}

// Each span beneath the one that it is a part of, both in the order of their beginnings.
export function inOrder(spans) {
  const known = new Set(spans.map((span) => span.id));
  const parts = new Map();
  for (const span of spans) {
    const parent = span.parent && known.has(span.parent) && span.parent !== span.id ? span.parent : '';
    parts.set(parent, [...(parts.get(parent) ?? []), span]);
  }
  const rows = [];
  const seen = new Set();
  const add = (parent, depth) => {
    for (const span of (parts.get(parent) ?? []).sort((a, b) => a.start - b.start)) {
      if (seen.has(span.id)) continue;
      seen.add(span.id);
      rows.push({ span, depth });
      add(span.id, depth + 1);
    }
  };
  add('', 0);
  return rows;
}

function details(span, begin) {
  const facts = [
    ['What', span.name],
    ['Kind', span.kind],
    ['Service', span.service],
    ['Host', span.host],
    ['Began', `${clock(new Date(span.start / 1000).toISOString())}, ${duration(span.start - begin)} after the first`],
    ['Took', span.end === null ? 'goes on' : duration(span.end - span.start)],
    ['Result', span.result],
    ...Object.entries(span.fields),
  ].filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h('dl', { className: 'facts' }, facts.map(([name, value]) => [h('dt', null, name), h('dd', { className: 'mono' }, value)]));
}

function waterfall(spans) {
  const begin = Math.min(...spans.map((span) => span.start));
  const now = Date.now() * 1000;
  const until = Math.max(...spans.map((span) => span.end ?? now));
  const whole = Math.max(1, until - begin);
  const beside = h('div', { className: 'panel beside', 'aria-live': 'polite' }, empty('Nothing chosen', 'Choose a bar to see what is known of it.'));
  let chosen = null;
  const rows = inOrder(spans).map(({ span, depth }) => {
    const end = span.end ?? until;
    const button = h(
      'button',
      {
        type: 'button',
        className: `span-row kind-${span.kind} ${span.result === 'Error' ? 'failed' : ''} ${span.end === null ? 'open' : ''}`,
        'data-span': span.name,
        'data-kind': span.kind,
        'aria-pressed': 'false',
        style: { '--from': String((span.start - begin) / whole), '--part': String((end - span.start) / whole), '--depth': String(depth) },
        onclick: () => {
          chosen?.setAttribute('aria-pressed', 'false');
          chosen = button;
          button.setAttribute('aria-pressed', 'true');
          show(beside, details(span, begin));
        },
      },
      h('span', { className: 'span-name' }, h('span', { className: 'span-title' }, span.name), h('span', { className: 'span-who' }, [span.service, span.host].filter(Boolean).join(' on '))),
      h('span', { className: 'span-track' }, h('span', { className: 'span-bar' })),
      h('span', { className: 'span-time' }, span.end === null ? 'goes on' : duration(span.end - span.start)),
    );
    return h('li', null, button);
  });
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => h('span', { style: { '--from': String(part) } }, duration(whole * part)));
  return h(
    'div',
    { className: 'story' },
    h('div', { className: 'panel waterfall' }, h('div', { className: 'axis', 'aria-hidden': 'true' }, marks), h('ol', { 'aria-label': 'What was done' }, rows)),
    beside,
  );
}

export function requestPage(main, id) {
  const body = h('div', { className: 'stack' });
  show(main, h('div', { className: 'head' }, h('h1', null, 'The story of a request'), searchForm(id)), body);
  if (!id) {
    const known = recent();
    show(
      body,
      known.length
        ? h('section', null, h('h2', null, 'Read lately'), h('ul', { className: 'plain' }, known.map((it) => h('li', null, h('a', { className: 'mono', href: `#/requests/${it}` }, it)))))
        : empty('Which request?', 'Each answer of the API names its request in the header x-openstack-request-id; a server’s page lists those that changed it.'),
    );
    return () => {};
  }
  let timer = null;
  let stopped = false;
  const read = async () => {
    clearTimeout(timer);
    try {
      const { request } = await get(`cloud/v1/requests/${encodeURIComponent(id)}`);
      if (stopped) return;
      remember(id);
      const open = request.spans.some((span) => span.end === null);
      show(
        body,
        h('p', { className: 'row' }, request.servers.map((server) => h('a', { className: 'chip', href: `#/servers/${server.id}` }, server.name || server.id, ' ', badge(server.status))), open ? h('span', { className: 'badge busy' }, 'goes on') : h('span', { className: 'badge calm' }, 'over')),
        request.spans.length ? waterfall(request.spans) : empty('Nothing is known of it any more', 'What is not in a server’s history is kept for a short time only.'),
      );
      if (open) timer = setTimeout(read, 1500);
    } catch (error) {
      if (stopped) return;
      show(body, error.status === 404 ? empty('There is no such request', 'Or it is of another project, or changed no server and is too long ago.') : failure(error, read));
    }
  };
  show(body, loading());
  read();
  const stop = watch((kinds) => { if (kinds.has('state') && store.stream === 'live') read(); });
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}
