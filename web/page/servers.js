// The servers of a project, or of all: live, with what is under way.

import { actionsOf, all, ask, compute, get, isOperator, may } from './api.js';
import { ago, badge, bytes, confirmed, empty, failure, h, loading, setText, show, toast, toneOf } from './dom.js';
import { list } from './list.js';
import { act, begin, migrationOf, reread, store, watch, watchesAll } from './store.js';

// The steps of a build, in their order, under the names of its task states.
const BUILD = ['scheduling', 'networking', 'block_device_mapping', 'spawning'];

// How far what is under way is: a part of one, or null where nobody knows.
export function progressOf(server) {
  if (!server.task_state && server.status !== 'BUILD') return undefined;
  const migration = migrationOf(server.id);
  if (migration?.memory_total_bytes > 0) {
    const { memory_total_bytes: whole, memory_remaining_bytes: left } = migration;
    return { part: Math.max(0, whole - left) / whole, text: `${migration.status}, ${bytes(left)} left` };
  }
  if (migration) return { part: null, text: migration.status };
  const step = BUILD.indexOf(server.task_state);
  return { part: step >= 0 ? (step + 0.5) / BUILD.length : null, text: server.task_state ?? 'building' };
}

export function progressBar() {
  const fill = h('span', { className: 'bar-fill' });
  const bar = h('span', { className: 'bar', role: 'progressbar', 'aria-label': 'Under way', hidden: true }, fill);
  const text = h('span', { className: 'bar-text' });
  return {
    elements: [bar, text],
    set(progress) {
      bar.hidden = progress === undefined;
      setText(text, progress?.text);
      if (!progress) return;
      bar.classList.toggle('unknown', progress.part === null);
      if (progress.part === null) bar.removeAttribute('aria-valuenow');
      else bar.setAttribute('aria-valuenow', String(Math.round(progress.part * 100)));
      fill.style.setProperty('--part', String(progress.part ?? 0.3));
    },
  };
}

const TITLES = {
  delete: 'Delete', 'os-stop': 'Stop', 'os-start': 'Start', reboot: 'Reboot', pause: 'Pause', unpause: 'Unpause',
  suspend: 'Suspend', resume: 'Resume', trigger_crash_dump: 'Crash dump', 'os-migrateLive': 'Live-migrate',
  migrate: 'Migrate', confirmResize: 'Confirm', revertResize: 'Revert',
};

const title = (right) => (right.type === 'HARD' ? 'Reboot hard' : TITLES[right.action] ?? right.action);

function bodyOf(right) {
  if (right.type) return { reboot: { type: right.type } };
  if (right.action === 'os-migrateLive') return { 'os-migrateLive': { host: null, block_migration: 'auto' } };
  return { [right.action]: null };
}

export async function perform(server, right) {
  try {
    let answer;
    if (right.action === 'delete') {
      if (!(await confirmed(`Delete ${server.name}?`, 'The server and what is on its disk are gone after that.', 'Delete'))) return;
      answer = await ask(compute(`servers/${server.id}`), { method: 'DELETE' });
    } else {
      answer = await act(server, bodyOf(right));
    }
    const story = h('a', { href: `#/requests/${answer.requestId}` }, 'Its story');
    toast(`${title(right)} of ${server.name} is accepted.`, 'good', story);
  } catch (error) {
    toast(error.message, 'bad');
  }
}

// Buttons for what the state of a server and the policy allow.
export function actionButtons(server) {
  const last = (right) => (right.action === 'delete' ? 1 : 0);
  return actionsOf(server).sort((a, b) => last(a) - last(b)).map((right) =>
    h(
      'button',
      {
        type: 'button',
        className: right.action === 'delete' ? 'danger' : '',
        'data-action': right.type ? `${right.action}-${right.type}` : right.action,
        onclick: () => perform(server, right),
      },
      title(right),
    ));
}

// The actions of one row, in a list that is made when it is asked for.
function actionMenu() {
  const menu = h('div', { className: 'menu', popover: 'auto' });
  let server = null;
  const button = h('button', {
    type: 'button',
    className: 'quiet',
    onclick: () => {
      const offered = actionButtons(server);
      show(menu, offered.length ? offered : h('p', null, 'Nothing can be asked of it now.'));
      const place = button.getBoundingClientRect();
      menu.style.setProperty('--x', `${Math.max(8, place.right - 180)}px`);
      menu.style.setProperty('--y', `${Math.min(place.bottom + 4, window.innerHeight - 260)}px`);
      menu.togglePopover();
      menu.querySelector('button')?.focus();
    },
  }, '⋯');
  menu.addEventListener('click', (event) => { if (event.target.closest('button')) menu.hidePopover(); });
  return {
    elements: [button, menu],
    set(next) {
      server = next;
      button.setAttribute('aria-label', `Actions of ${next.name}`);
    },
  };
}

const COLUMNS = () => [
  ['Name', 'c-name'],
  ['Status', 'c-status'],
  ['Under way', 'c-way'],
  ...(isOperator() ? [['Host', 'c-host']] : []),
  ['Flavor', 'c-flavor'],
  ['Address', 'c-address'],
  ['Age', 'c-age'],
  ['Actions', 'c-actions'],
];

function makeRow(cells) {
  const of = Object.fromEntries(COLUMNS().map(([, kind], index) => [kind, cells[index]]));
  const name = h('a', null);
  const mark = h('span', { className: 'badge' });
  const way = progressBar();
  const menu = actionMenu();
  of['c-name'].append(name);
  of['c-status'].append(mark);
  of['c-way'].append(...way.elements);
  of['c-actions'].append(...menu.elements);
  return (server) => {
    setText(name, server.name || server.id);
    name.href = `#/servers/${server.id}`;
    setText(mark, server.status);
    mark.className = `badge ${toneOf(server.status)}`;
    way.set(progressOf(server));
    if (!server.task_state && server.fault && server.status === 'ERROR') setText(way.elements[1], server.fault);
    if (of['c-host']) setText(of['c-host'], server.host);
    setText(of['c-flavor'], server.flavor);
    setText(of['c-address'], server.address);
    setText(of['c-age'], ago(server.created));
    menu.set(server);
  };
}

export function serversPage(main) {
  const search = h('input', { type: 'search', placeholder: 'Name, status, host, address  ( / )', 'aria-label': 'Search servers' });
  const every = h('input', { type: 'checkbox', id: 'every', checked: watchesAll(), onchange: () => begin(every.checked) });
  const count = h('span', { className: 'count', role: 'status' });
  const place = h('div', { className: 'list-place' });
  const table = list({
    label: 'Servers',
    columns: COLUMNS(),
    make: makeRow,
    onOpen: (server) => { location.hash = `#/servers/${server.id}`; },
  });
  const create = may('os_compute_api:servers:create')
    ? h('button', { type: 'button', className: 'primary', id: 'create', onclick: () => createDialog() }, 'Create servers')
    : null;
  show(
    main,
    h(
      'div',
      { className: 'head' },
      h('h1', null, 'Servers'),
      count,
      search,
      isOperator() ? h('label', { className: 'check', htmlFor: 'every' }, every, 'of every project') : null,
      create,
    ),
    place,
  );

  let shown = null;
  const showOnly = (kind, make) => {
    if (shown === kind) return;
    shown = kind;
    show(place, make());
  };
  const draw = () => {
    if (store.phase === 'failed') {
      shown = null;
      return showOnly('failed', () => failure(store.error, reread));
    }
    if (store.phase === 'loading' && !store.servers.size) return showOnly('loading', loading);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (server) => {
      const text = `${server.name} ${server.status} ${server.host ?? ''} ${server.address ?? ''} ${server.id}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const found = [...store.servers.values()].filter(matches);
    found.sort((a, b) => (a.created < b.created ? 1 : a.created > b.created ? -1 : a.name.localeCompare(b.name, undefined, { numeric: true }) || (a.id < b.id ? -1 : 1)));
    setText(count, words.length ? `${found.length} of ${store.servers.size}` : String(store.servers.size));
    if (!store.servers.size) {
      return showOnly('none', () => empty('There is no server yet', 'One is there within a second of asking for it.'));
    }
    if (!found.length) {
      shown = null;
      return showOnly('no match', () => empty('No server matches', 'Take a word out of the search.'));
    }
    showOnly('list', () => table.element);
    table.set(found);
  };
  search.addEventListener('input', draw);
  const stop = watch((kinds) => { if (kinds.has('server') || kinds.has('migration') || kinds.has('state')) draw(); });
  const ages = setInterval(draw, 10000);
  draw();
  return () => {
    stop();
    clearInterval(ages);
    table.stop();
  };
}

async function createDialog() {
  const [flavors, images, keys] = await Promise.all([
    all(compute('flavors/detail'), 'flavors'),
    get('image/v2/images').then((data) => data.images),
    all(compute('os-keypairs'), 'keypairs').catch(() => []),
  ]).catch((error) => {
    toast(error.message, 'bad');
    return [];
  });
  if (!flavors) return;
  flavors.sort((a, b) => a.ram - b.ram);
  const field = (label, id, input) => [h('label', { htmlFor: id }, label), input];
  const name = h('input', { id: 'new-name', required: true, maxLength: 255, autofocus: true });
  const flavor = h('select', { id: 'new-flavor' }, flavors.map((it) =>
    h('option', { value: it.id }, `${it.original_name ?? it.name} (${it.vcpus} vCPU, ${bytes(it.ram * 1048576)})`)));
  const image = h('select', { id: 'new-image' }, images.map((it) => h('option', { value: it.id }, it.name)));
  const key = h('select', { id: 'new-key' }, h('option', { value: '' }, 'none'), keys.map(({ keypair }) => h('option', { value: keypair.name }, keypair.name)));
  const network = h('select', { id: 'new-network' }, h('option', { value: 'auto' }, 'one is chosen'), h('option', { value: 'none' }, 'none'));
  const count = h('input', { id: 'new-count', type: 'number', min: 1, max: 1000, value: 1, required: true });
  const problem = h('p', { className: 'problem', role: 'alert' });
  const submit = h('button', { type: 'submit', className: 'primary', id: 'new-submit' }, 'Create');
  const dialog = h(
    'dialog',
    { 'aria-label': 'Create servers', onclose: () => dialog.remove() },
    h(
      'form',
      {
        onsubmit: async (event) => {
          event.preventDefault();
          submit.disabled = true;
          problem.textContent = '';
          const server = { name: name.value, flavorRef: flavor.value, imageRef: image.value, networks: network.value };
          if (key.value) server.key_name = key.value;
          if (Number(count.value) > 1) Object.assign(server, { min_count: Number(count.value), max_count: Number(count.value) });
          try {
            const answer = await ask(compute('servers'), { method: 'POST', body: { server } });
            dialog.close();
            toast(`${name.value} is accepted.`, 'good', h('a', { href: `#/requests/${answer.requestId}` }, 'Its story'));
          } catch (error) {
            problem.textContent = error.message;
            submit.disabled = false;
          }
        },
      },
      h('h2', null, 'Create servers'),
      field('Name', 'new-name', name),
      field('Flavor', 'new-flavor', flavor),
      field('Image', 'new-image', image),
      field('Network', 'new-network', network),
      field('Key pair', 'new-key', key),
      field('How many', 'new-count', count),
      problem,
      h('div', { className: 'row end' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), submit),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
