// Which page is shown, and what is around it.

import { changeProject, current, expire, isOperator, logOut, may, projects, whenExpired } from './api.js';
import { busPage } from './bus.js';
import { h, show, toast } from './dom.js';
import { hostsPage } from './hosts.js';
import { loginPage } from './login.js';
import { requestPage } from './requests.js';
import { serverPage } from './server.js';
import { serversPage } from './servers.js';
import { servicesPage } from './services.js';
import { begin, end, store, watch, watchesAll } from './store.js';

const PAGES = [
  { path: 'servers', title: 'Servers', page: serversPage, one: serverPage, offered: () => true },
  { path: 'hosts', title: 'Hosts', page: hostsPage, offered: isOperator },
  { path: 'services', title: 'Services', page: servicesPage, offered: () => may('os_compute_api:os-services:list') },
  { path: 'bus', title: 'The bus', page: busPage, offered: () => may('cloud:bus:show') },
  { path: 'requests', title: 'Requests', page: requestPage, one: requestPage, offered: () => may('cloud:requests:show') },
];

const main = document.getElementById('main');
const top = document.getElementById('top');
let leave = () => {};

const STATES = {
  live: ['live', 'What is shown is what there is.'],
  broken: ['not connected', 'The stream of events is broken. What is shown may be old; it is caught up when the cloud answers.'],
  stale: ['behind', 'The cloud can’t read its database at present. What is shown may be old.'],
};

function streamState() {
  const dot = h('span', { className: 'stream', role: 'status' });
  const update = () => {
    const [word, text] = STATES[store.stream];
    dot.dataset.state = store.stream;
    if (dot.textContent !== word) dot.textContent = word;
    dot.title = text;
  };
  update();
  watch((kinds) => { if (kinds.has('state')) update(); });
  return dot;
}

async function projectChoice(place) {
  const all = await projects().catch(() => []);
  if (all.length < 2) return;
  const choice = h(
    'select',
    {
      'aria-label': 'Project',
      onchange: async () => {
        try {
          await changeProject(choice.value);
          enter();
        } catch (error) {
          toast(error.message, 'bad');
        }
      },
    },
    all.map((it) => h('option', { value: it.id, selected: it.id === current().projectId }, it.name)),
  );
  show(place, choice);
}

function drawTop() {
  const session = current();
  top.hidden = !session;
  if (!session) return show(top);
  const place = h('span', { className: 'project' }, session.project);
  show(
    top,
    h('a', { className: 'brand', href: '#/servers' }, h('img', { src: 'icon.svg', alt: '', width: 22, height: 22 }), 'Novella'),
    h(
      'nav',
      { 'aria-label': 'Pages' },
      PAGES.filter((it) => it.offered()).map((it) => h('a', { href: `#/${it.path}`, id: `nav-${it.path}` }, it.title)),
    ),
    streamState(),
    place,
    h('span', { className: 'user' }, session.user),
    h('button', { type: 'button', className: 'quiet', id: 'log-out', onclick: leaveCloud }, 'Log out'),
  );
  projectChoice(place);
}

async function leaveCloud() {
  end();
  await logOut();
  history.replaceState(null, '', '#/login');
  draw();
}

function enter() {
  begin();
  drawTop();
  draw();
}

function draw() {
  leave();
  leave = () => {};
  const [path, id] = location.hash.replace(/^#\//, '').split('/').map(decodeURIComponent);
  if (!current()) {
    drawTop();
    document.title = 'Log in – Novella';
    const back = path && path !== 'login' ? location.hash : '#/servers';
    loginPage(main, () => {
      history.replaceState(null, '', back);
      enter();
    });
    return;
  }
  const found = PAGES.find((it) => it.path === path && it.offered()) ?? PAGES[0];
  for (const it of PAGES) {
    const link = document.getElementById(`nav-${it.path}`);
    if (it === found) link?.setAttribute('aria-current', 'page');
    else link?.removeAttribute('aria-current');
  }
  document.title = `${found.title} – Novella`;
  // Hosts and services belong to no project.
  if (['hosts', 'services'].includes(found.path) && isOperator() && !watchesAll()) begin(true);
  const page = id && found.one ? found.one : found.page;
  leave = page(main, id) ?? (() => {});
}

whenExpired(() => {
  end();
  toast('You have been logged out: the token is not valid any more.', 'bad');
  draw();
});

// Keys as in a mail program: g and the first letter of a page; / to search.
let before = '';
document.addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select, dialog');
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !current()) return;
  if (event.key === '/') {
    const search = main.querySelector('input[type=search]');
    if (search) {
      event.preventDefault();
      search.focus();
    }
  } else if (before === 'g') {
    const keys = { s: 'servers', h: 'hosts', v: 'services', b: 'bus', r: 'requests' };
    if (keys[event.key]) location.hash = `#/${keys[event.key]}`;
  }
  before = event.key;
});

window.addEventListener('hashchange', () => {
  if (location.hash === '#main') return;
  draw();
  main.focus({ preventScroll: true });
});

// The token ends at a time that is known.
setInterval(() => {
  if (current() && Date.parse(current().expires) <= Date.now()) expire();
}, 5000);

if (current()?.rights) enter();
else draw();
